//! How much may be asked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tidegate_http::{HttpSettings, Serving, Uptime};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::{
    wire::{Answer, get, request},
    world::{GATEWAY, World},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

/// A server with few requests for each client, and its clock in milliseconds.
async fn limited(set: impl FnOnce(&mut HttpSettings)) -> anyhow::Result<(World, Arc<AtomicU64>)> {
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
    let world = World::closed_with(set, Serving::default()).await?;
    Ok((world, millis))
}

async fn poll(world: &World) -> anyhow::Result<Answer> {
    world.send(get(BASE).header("Authorization", GATEWAY)).await
}

#[tokio::test]
async fn who_asks_too_often_is_told_so_without_a_body() -> anyhow::Result<()> {
    let (world, millis) = limited(|_| {}).await?;
    for _ in 0..3 {
        assert_eq!(poll(&world).await?.status, 200);
    }
    let refused = poll(&world).await?;
    assert_eq!((refused.status, refused.text().as_str()), (429, ""));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Feedback counts apart.
    let put = request("PUT", format!("{BASE}/configData"))
        .header("Authorization", GATEWAY)
        .json(&serde_json::json!({"data": {"a": "b"}}));
    for status in [200, 200, 429] {
        assert_eq!(world.send(put.clone()).await?.status, status);
    }
    millis.store(1000, Ordering::SeqCst);
    assert_eq!(poll(&world).await?.status, 200);
    assert_eq!(world.send(put).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn guesses_count_too_and_rest_says_what_is_wrong() -> anyhow::Result<()> {
    let (world, _) = limited(|_| {}).await?;
    for _ in 0..3 {
        let guess = get(BASE).header("Authorization", "TargetToken guess");
        assert_eq!(world.send(guess).await?.status, 401);
    }
    assert_eq!(poll(&world).await?.status, 429);
    let rest = world.send(get("/api/v1/devices")).await?;
    assert_eq!(rest.status, 429);
    assert_eq!(
        rest.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(rest.json()["code"], "too_often");
    // Whoever watches the server is not in anybody's way.
    for _ in 0..5 {
        assert_eq!(world.send(get("/health")).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn private_networks_have_no_limit_by_default() -> anyhow::Result<()> {
    let (world, _) = limited(|settings| settings.limits.exempt_private = true).await?;
    for _ in 0..10 {
        assert_eq!(poll(&world).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn behind_a_proxy_each_client_counts_for_itself() -> anyhow::Result<()> {
    let (world, _) = limited(|settings| {
        settings.proxies.trusted = vec!["127.0.0.0/8".parse().expect("a net")];
    })
    .await?;
    let poll_of = async |client: &str| {
        let poll = get(BASE)
            .header("Authorization", GATEWAY)
            .header("X-Forwarded-For", client);
        anyhow::Ok(world.send(poll).await?.status)
    };
    for _ in 0..3 {
        assert_eq!(poll_of("192.0.2.1").await?, 200);
    }
    assert_eq!(poll_of("192.0.2.1").await?, 429);
    assert_eq!(
        poll_of("10.9.9.9, 192.0.2.1").await?,
        429,
        "what it says itself is no matter"
    );
    assert_eq!(poll_of("192.0.2.2").await?, 200);
    Ok(())
}

#[tokio::test]
async fn a_tenant_has_a_limit_of_its_own() -> anyhow::Result<()> {
    let (world, _) = limited(|settings| {
        settings.limits.exempt_private = true;
        settings.limits.tenant_reads_per_second = 2;
    })
    .await?;
    for _ in 0..5 {
        let guess = get(BASE).header("Authorization", "TargetToken guess");
        assert_eq!(world.send(guess).await?.status, 401, "it uses up nothing");
    }
    for status in [200, 200, 429] {
        let answer = poll(&world).await?;
        assert_eq!(answer.status, status);
        assert!(status == 200 || answer.body.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn no_more_connections_are_taken_than_there_are_places() -> anyhow::Result<()> {
    let serving = Serving {
        connections: 2,
        ..Serving::default()
    };
    let world = World::closed_with(|_| {}, serving).await?;
    let ask = async |stream: &mut TcpStream| {
        stream
            .write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            .await?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"HTTP/1.1 200");
        anyhow::Ok(())
    };
    let mut first = TcpStream::connect(world.addr).await?;
    let mut second = TcpStream::connect(world.addr).await?;
    ask(&mut first).await?;
    ask(&mut second).await?;
    let mut third = TcpStream::connect(world.addr).await?;
    let waiting = timeout(Duration::from_millis(300), ask(&mut third)).await;
    assert!(waiting.is_err(), "there is no place");
    drop(first);
    let mut answer = [0; 12];
    third.read_exact(&mut answer).await?;
    assert_eq!(&answer, b"HTTP/1.1 200");
    Ok(())
}
