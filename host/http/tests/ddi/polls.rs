use serde_json::json;
use tidegate_engine::{Admin, access, fingerprint, ports::NewGateway, tenants};

use crate::{
    raw_http::{get, request},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/lab/controller/v1/dev-1";

#[tokio::test]
async fn a_device_is_registered_at_its_first_poll() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    let response = server.send(get(BASE)).await?;
    assert_eq!(response.status, 200);
    assert_eq!(
        response.header("content-type"),
        Some("application/hal+json")
    );
    let length = response.body.len().to_string();
    assert_eq!(response.header("content-length"), Some(length.as_str()));
    assert_eq!(
        response.json(),
        json!({
            "config": {"polling": {"sleep": "00:05:00"}},
            "_links": {"configData": {"href": format!("http://gate.example:8080{BASE}/configData")}},
        })
    );
    let again = server.send(get("/LAB/controller/v1/dev-1")).await?;
    assert!(
        again.text().contains("http://gate.example:8080/LAB/"),
        "the tenant is spelled as in the request"
    );
    let devices = server.engine.store().device(server.tenant, "dev-1").await?;
    assert!(devices.is_some());
    Ok(())
}

#[tokio::test]
async fn attributes_are_requested_once() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    let attributes = json!({"mode": "merge", "data": {"hw_model": "rpi4", "sw_version": "1.0.0"}});
    let config_data = format!("{BASE}/configData");
    let unknown = server
        .send(request("PUT", &config_data).json(&attributes))
        .await?;
    assert_eq!(unknown.status, 404, "only a poll registers a device");
    server.send(get(BASE)).await?;
    let taken = server
        .send(request("PUT", &config_data).json(&attributes))
        .await?;
    assert_eq!(
        (taken.status, taken.header("content-length")),
        (200, Some("0"))
    );
    let response = server.send(get(BASE)).await?;
    assert_eq!(
        response.json(),
        json!({"config": {"polling": {"sleep": "00:05:00"}}})
    );
    let device = server.engine.store().device(server.tenant, "dev-1").await?;
    assert_eq!(
        device.and_then(|device| device.hw_model).as_deref(),
        Some("rpi4")
    );
    Ok(())
}

#[tokio::test]
async fn a_matching_tag_is_answered_304() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    let first = server.send(get(BASE)).await?;
    let tag = first.header("etag").expect("an entity tag").to_owned();
    assert!(tag.starts_with("\"0") && tag.len() == 35, "{tag}");
    let second = server.send(get(BASE).header("If-None-Match", &tag)).await?;
    assert_eq!((second.status, second.text().as_str()), (304, ""));
    assert_eq!(second.header("etag"), Some(tag.as_str()));
    Ok(())
}

#[tokio::test]
async fn content_is_negotiated() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    for (accept, status, content_type) in [
        ("application/json", 200, Some("application/json")),
        ("application/cbor", 200, Some("application/cbor")),
        ("text/html", 406, None),
    ] {
        let response = server.send(get(BASE).header("Accept", accept)).await?;
        assert_eq!(
            (response.status, response.header("content-type")),
            (status, content_type)
        );
    }
    let cbor = server
        .send(get(BASE).header("Accept", "application/cbor"))
        .await?;
    let read: serde_json::Value = ciborium::from_reader(&*cbor.body)?;
    assert_eq!(read, server.send(get(BASE)).await?.json());
    Ok(())
}

#[tokio::test]
async fn a_token_is_required() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    server.put_device("dev-1", "secret").await?;
    for (authorization, status) in [
        ("TargetToken secret", 200),
        ("TargetToken guess", 401),
        ("Bearer secret", 401),
        ("GatewayToken secret", 401),
        (GATEWAY, 200),
    ] {
        let response = server
            .send(get(BASE).header("Authorization", authorization))
            .await?;
        assert_eq!(response.status, status, "{authorization}");
        assert!(status == 200 || response.body.is_empty());
    }
    let nothing = server.send(get(BASE)).await?;
    assert_eq!(nothing.status, 401);

    // The token is not valid for another device; the gateway's token registers it.
    let other = "/LAB/controller/v1/dev-2";
    for (authorization, status) in [("TargetToken secret", 401), (GATEWAY, 200)] {
        let response = server
            .send(get(other).header("Authorization", authorization))
            .await?;
        assert_eq!(response.status, status, "{authorization}");
    }
    let unknown_tenant =
        server.send(get("/nowhere/controller/v1/dev-1").header("Authorization", GATEWAY));
    assert_eq!(
        unknown_tenant.await?.status,
        401,
        "the existence of a tenant is not revealed"
    );
    Ok(())
}

#[tokio::test]
async fn a_new_gateway_and_a_new_tenant_are_accepted_within_a_second() -> anyhow::Result<()> {
    let server = TestServer::authenticated().await?;
    let poll = || get(BASE).header("Authorization", "GatewayToken another");
    assert_eq!(server.send(poll()).await?.status, 401);
    let (store, now) = (server.engine.store(), server.engine.now());
    let another = NewGateway {
        name: "another".to_owned(),
        sha256: fingerprint("another"),
        group: None,
        created_at: now,
    };
    store
        .create_gateway(&server.ctx::<Admin>(), another)
        .await?;
    assert_eq!(
        server.send(poll()).await?.status,
        401,
        "the cache is valid for a second"
    );
    server.clock.advance(1);
    assert_eq!(server.send(poll()).await?.status, 200);

    let elsewhere = || get("/new/controller/v1/d").header("Authorization", GATEWAY);
    assert_eq!(server.send(elsewhere()).await?.status, 401);
    let new = tenants::create(&server.server_ctx()?, server.engine.store(), "new").await?;
    server.clock.advance(1);
    assert_eq!(
        server.send(elsewhere()).await?.status,
        401,
        "the tenant exists, with its own gateways"
    );
    let made = access::create_gateway(
        &server.ctx_of(new.id),
        server.engine.store(),
        server.engine.caches(),
        server.engine.entropy(),
        access::GatewayRequest {
            name: "gate".to_owned(),
            ..access::GatewayRequest::default()
        },
    )
    .await?;
    let theirs = format!("GatewayToken {}", made.token);
    let poll_new = get("/new/controller/v1/d").header("Authorization", &theirs);
    assert_eq!(server.send(poll_new).await?.status, 200, "immediately");
    Ok(())
}

#[tokio::test]
async fn a_device_that_an_operator_made_is_registered_when_it_polls() -> anyhow::Result<()> {
    use tidegate_core::device::DeviceState;
    let server = TestServer::authenticated().await?;
    server.put_device("dev-1", "secret").await?;
    let state = async || {
        let device = server.engine.store().device(server.tenant, "dev-1").await?;
        anyhow::Ok(device.map(|device| device.state))
    };
    assert_eq!(state().await?, Some(DeviceState::Unknown));
    server
        .send(get(BASE).header("Authorization", "TargetToken secret"))
        .await?;
    assert_eq!(state().await?, Some(DeviceState::Registered));
    Ok(())
}

#[tokio::test]
async fn last_seen_times_are_written_in_batches() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    server.clock.advance(60);
    server.send(get(BASE)).await?;
    tidegate_engine::devices::flush_last_seen(&server.engine).await?;
    let device = server.engine.store().device(server.tenant, "dev-1").await?;
    assert_eq!(
        device.and_then(|device| device.last_seen),
        Some(server.engine.now())
    );
    Ok(())
}
