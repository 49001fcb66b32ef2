//! Request limits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_http::{HttpServer, HttpSettings, Uptime};

use crate::{
    raw_http::{Response, get, request},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

/// A server with low limits per client, and its clock in milliseconds.
async fn limited(
    set: impl FnOnce(&mut HttpSettings),
) -> anyhow::Result<(TestServer, Arc<AtomicU64>)> {
    let millis = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&millis);
    let uptime = Uptime::new(move || Duration::from_millis(clock.load(Ordering::SeqCst)));
    let set = |settings: &mut HttpSettings| {
        settings.limits.uptime = uptime;
        settings.limits.reads_per_second = 3;
        settings.limits.writes_per_second = 2;
        settings.limits.exempt_private = false;
        set(settings);
    };
    let server = TestServer::authenticated_with(set, HttpServer::default()).await?;
    Ok((server, millis))
}

async fn poll(server: &TestServer) -> anyhow::Result<Response> {
    server
        .send(get(BASE).header("Authorization", GATEWAY))
        .await
}

#[tokio::test]
async fn a_rate_limited_device_is_answered_429_without_a_body() -> anyhow::Result<()> {
    let (server, millis) = limited(|_| {}).await?;
    for _ in 0..3 {
        assert_eq!(poll(&server).await?.status, 200);
    }
    let refused = poll(&server).await?;
    assert_eq!((refused.status, refused.text().as_str()), (429, ""));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Writes are counted separately.
    let put = request("PUT", format!("{BASE}/configData"))
        .header("Authorization", GATEWAY)
        .json(&serde_json::json!({"data": {"a": "b"}}));
    for status in [200, 200, 429] {
        assert_eq!(server.send(put.clone()).await?.status, status);
    }
    millis.store(1000, Ordering::SeqCst);
    assert_eq!(poll(&server).await?.status, 200);
    assert_eq!(server.send(put).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn failed_authentication_counts_and_rest_names_the_problem() -> anyhow::Result<()> {
    let (server, _) = limited(|_| {}).await?;
    for _ in 0..3 {
        let guess = get(BASE).header("Authorization", "TargetToken guess");
        assert_eq!(server.send(guess).await?.status, 401);
    }
    assert_eq!(poll(&server).await?.status, 429);
    let rest = server.send(get("/api/v1/devices")).await?;
    assert_eq!(rest.status, 429);
    assert_eq!(
        rest.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(rest.json()["code"], "too_often");
    // Probes are not limited.
    for _ in 0..5 {
        assert_eq!(server.send(get("/health")).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn requests_for_no_resource_are_limited_too() -> anyhow::Result<()> {
    let (server, _) = limited(|_| {}).await?;
    for status in [404, 404, 404, 429] {
        let response = server.send(get(format!("{BASE}/no/resource"))).await?;
        assert_eq!(response.status, status);
    }
    for status in [405, 405, 429] {
        let response = server.send(request("DELETE", BASE)).await?;
        assert_eq!(response.status, status);
        assert!(status == 429 || response.header("allow") == Some("GET,HEAD"));
    }
    Ok(())
}

#[tokio::test]
async fn private_networks_are_exempt_by_default() -> anyhow::Result<()> {
    let (server, _) = limited(|settings| settings.limits.exempt_private = true).await?;
    for _ in 0..10 {
        assert_eq!(poll(&server).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn clients_behind_a_proxy_are_limited_separately() -> anyhow::Result<()> {
    let (server, _) = limited(|settings| {
        settings.proxies.networks = vec!["127.0.0.0/8".parse().expect("a valid network")];
    })
    .await?;
    let poll_of = async |client: &str| {
        let poll = get(BASE)
            .header("Authorization", GATEWAY)
            .header("X-Forwarded-For", client);
        anyhow::Ok(server.send(poll).await?.status)
    };
    for _ in 0..3 {
        assert_eq!(poll_of("192.0.2.1").await?, 200);
    }
    assert_eq!(poll_of("192.0.2.1").await?, 429);
    assert_eq!(
        poll_of("10.9.9.9, 192.0.2.1").await?,
        429,
        "the client's own entry is ignored"
    );
    assert_eq!(poll_of("192.0.2.2").await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_tenant_has_its_own_limit() -> anyhow::Result<()> {
    let (server, _) = limited(|settings| {
        settings.limits.exempt_private = true;
        settings.limits.tenant_reads_per_second = 2;
    })
    .await?;
    for _ in 0..5 {
        let guess = get(BASE).header("Authorization", "TargetToken guess");
        assert_eq!(
            server.send(guess).await?.status,
            401,
            "failed authentication does not count for the tenant"
        );
    }
    for status in [200, 200, 429] {
        let response = poll(&server).await?;
        assert_eq!(response.status, status);
        assert!(status == 200 || response.body.is_empty());
    }
    Ok(())
}
