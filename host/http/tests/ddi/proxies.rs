//! Headers of trusted proxies and of untrusted hops.

use serde_json::json;
use tidegate_core::access::{AccessSettings, Registration};
use tidegate_engine::{
    Role,
    tenants::{self, NewApiKey},
};
use tidegate_http::{HttpServer, HttpSettings};

use crate::{
    raw_http::{get, request},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

/// A server that trusts proxies in this network.
async fn trusting(net: &str) -> anyhow::Result<TestServer> {
    let net = net.parse()?;
    let set = |settings: &mut HttpSettings| settings.proxies.networks = vec![net];
    TestServer::authenticated_with(set, HttpServer::default()).await
}

async fn link(server: &TestServer, headers: &[(&str, &str)]) -> anyhow::Result<String> {
    let poll = get(BASE).header("Authorization", GATEWAY);
    let poll = headers
        .iter()
        .fold(poll, |poll, (name, value)| poll.header(name, value));
    let response = server.send(poll).await?;
    anyhow::ensure!(response.status == 200, "{response:?}");
    let link = response.json()["_links"]["configData"]["href"].clone();
    Ok(link.as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn links_point_to_the_trusted_proxy() -> anyhow::Result<()> {
    let forwarded = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Host", "updates.example:8443"),
        ("Forwarded", "for=192.0.2.7;proto=gopher;host=evil.example"),
    ];
    let server = trusting("127.0.0.1/32").await?;
    assert_eq!(
        link(&server, &forwarded).await?,
        format!("https://updates.example:8443{BASE}/configData")
    );
    // The proxy itself may send requests, too.
    assert_eq!(
        link(&server, &[]).await?,
        format!("http://gate.example:8080{BASE}/configData")
    );
    let outside = [
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Port", "8443"),
        ("X-Forwarded-Prefix", "/ota"),
    ];
    assert_eq!(
        link(&server, &outside).await?,
        format!("https://gate.example:8443/ota{BASE}/configData")
    );
    let nonsense = [
        ("X-Forwarded-For", "unknown"),
        ("X-Forwarded-Proto", ""),
        ("X-Forwarded-Port", "65536"),
        ("X-Forwarded-Prefix", "//evil.example"),
    ];
    assert_eq!(
        link(&server, &nonsense).await?,
        format!("http://gate.example:8080{BASE}/configData")
    );

    let elsewhere = trusting("10.0.0.0/8").await?;
    for headers in [&forwarded[..], &outside] {
        assert_eq!(
            link(&elsewhere, headers).await?,
            format!("http://gate.example:8080{BASE}/configData"),
            "headers of untrusted hops are ignored"
        );
    }
    Ok(())
}

#[tokio::test]
async fn location_has_the_proxys_prefix() -> anyhow::Result<()> {
    for (net, expected) in [
        ("127.0.0.1/32", "/ota/api/v1/devices/dev-9"),
        ("10.0.0.0/8", "/api/v1/devices/dev-9"),
    ] {
        let server = trusting(net).await?;
        let key = NewApiKey {
            user: "ann".to_owned(),
            role: Role::Operator,
            expires_at: None,
        };
        let key = tenants::issue_key(
            &server.ctx(),
            server.engine.store(),
            server.engine.entropy(),
            key,
        )
        .await?;
        let made = request("POST", "/api/v1/devices")
            .json(&json!({ "device_id": "dev-9" }))
            .header("X-API-Key", &key)
            .header("X-Forwarded-Prefix", "/ota");
        let response = server.send(made).await?;
        assert_eq!(response.status, 201, "{response:?}");
        assert_eq!(response.header("location"), Some(expected));
    }
    Ok(())
}

#[tokio::test]
async fn a_trusted_proxy_names_the_device() -> anyhow::Result<()> {
    let server = trusting("127.0.0.0/8").await?;
    let status = async |path: &str, headers: &[(&str, &str)]| {
        let named = headers
            .iter()
            .fold(get(path), |poll, (name, value)| poll.header(name, value));
        anyhow::Ok(server.send(named).await?.status)
    };
    let new = [("X-Controller-Id", "dev-1"), ("X-Authority", "x; Plant")];
    let numbered = [
        ("X-Controller-Id", "dev-1"),
        ("X-Authority-0", "x"),
        ("X-Authority-1", "plant"),
    ];
    let old = [
        ("X-Ssl-Client-Cn", "dev-1"),
        ("X-Ssl-Issuer-Hash-1", "PLANT"),
    ];
    assert_eq!(
        status(BASE, &new).await?,
        401,
        "the tenant trusts no authority yet"
    );
    server
        .change_access(|access| access.proxy_authorities = vec!["plant".to_owned()])
        .await?;
    for headers in [&new[..], &numbered, &old] {
        assert_eq!(status(BASE, headers).await?, 200, "{headers:?}");
        assert_eq!(status("/LAB/controller/v1/dev-2", headers).await?, 401);
    }
    let other = [("X-Controller-Id", "dev-1"), ("X-Authority", "other")];
    assert_eq!(status(BASE, &other).await?, 401);
    let both = [new[0], new[1], old[0], old[1]];
    assert_eq!(
        status(BASE, &both).await?,
        401,
        "contradicting headers are ignored"
    );
    // A token is accepted if the headers are not.
    let token = [other[0], other[1], ("Authorization", GATEWAY)];
    assert_eq!(status(BASE, &token).await?, 200);
    Ok(())
}

#[tokio::test]
async fn an_untrusted_hop_cannot_name_a_device() -> anyhow::Result<()> {
    let server = trusting("10.0.0.0/8").await?;
    server
        .change_access(|access| access.proxy_authorities = vec!["plant".to_owned()])
        .await?;
    for (device, authority) in [
        ("X-Controller-Id", "X-Authority"),
        ("X-Ssl-Client-Cn", "X-Ssl-Issuer-Hash-1"),
    ] {
        let forged = get(BASE)
            .header(device, "dev-1")
            .header(authority, "plant")
            .header("X-Forwarded-For", "10.0.0.1");
        let response = server.send(forged).await?;
        assert_eq!((response.status, response.text().as_str()), (401, ""));
    }
    Ok(())
}

#[tokio::test]
async fn a_device_not_on_the_allow_list_is_not_registered() -> anyhow::Result<()> {
    let server = trusting("127.0.0.0/8").await?;
    let list_alone = |access: &mut AccessSettings| {
        access.registration = Registration::AllowList;
        access.trust_on_first_use = true;
        access.proxy_authorities = vec!["plant".to_owned()];
    };
    server.change_access(list_alone).await?;
    server.put_device("known", "secret").await?;
    let named = |device: &'static str| {
        [
            (device, "Authorization", GATEWAY, 404),
            (device, "Authorization", "TargetToken first", 401),
            (device, "Authorization", "GatewayToken wrong", 401),
        ]
    };
    for (device, header, value, status) in named("unknown") {
        let poll = get(format!("/LAB/controller/v1/{device}")).header(header, value);
        let response = server.send(poll).await?;
        assert_eq!(
            (response.status, response.text().as_str()),
            (status, ""),
            "{value}"
        );
    }
    let vouched = get("/LAB/controller/v1/unknown")
        .header("X-Controller-Id", "unknown")
        .header("X-Authority", "plant");
    assert_eq!(server.send(vouched).await?.status, 404);
    let device = server
        .engine
        .store()
        .device(server.tenant, "unknown")
        .await?;
    assert_eq!(device, None);

    for credential in [GATEWAY, "TargetToken secret"] {
        let known = get("/LAB/controller/v1/known").header("Authorization", credential);
        assert_eq!(server.send(known).await?.status, 200);
    }
    Ok(())
}

#[tokio::test]
async fn the_address_is_stored_if_the_tenant_tracks_it() -> anyhow::Result<()> {
    let forwarded = [("X-Forwarded-For", "198.51.100.1, 192.0.2.7")];
    let server = trusting("127.0.0.1/32").await?;
    let address = async || -> anyhow::Result<Option<String>> {
        link(&server, &forwarded).await?;
        tidegate_engine::devices::flush_last_seen(&server.engine).await?;
        server.clock.advance(1);
        let device = server.engine.store().device(server.tenant, "dev-1").await?;
        Ok(device.and_then(|device| Some(device.address?.to_string())))
    };
    assert_eq!(address().await?, None);
    for (enabled, expected) in [(true, Some("192.0.2.7")), (false, None)] {
        server.track_address(enabled).await?;
        assert_eq!(address().await?.as_deref(), expected);
    }
    Ok(())
}
