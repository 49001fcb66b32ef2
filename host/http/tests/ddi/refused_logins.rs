//! Refused logins of users and devices: logged, counted, and slowed for users.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tidegate_captured_log::CapturedLog;
use tidegate_engine::{
    Role,
    tenants::{self, NewApiKey},
};
use tidegate_http::{HttpServer, HttpSettings, Uptime};

use crate::{
    raw_http::{Response, get, request},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";
const USERS: &str = "/api/v1/devices";

/// A server that refuses three logins a minute before it slows them, and its clock in seconds. All requests come from
/// 127.0.0.1, unless they name another client as a proxy does.
async fn server(
    set: impl FnOnce(&mut HttpSettings),
) -> anyhow::Result<(TestServer, Arc<AtomicU64>)> {
    let seconds = Arc::new(AtomicU64::new(0));
    let clock = Arc::clone(&seconds);
    let uptime = Uptime::new(move || Duration::from_secs(clock.load(Ordering::SeqCst)));
    let network = "127.0.0.0/8".parse()?;
    let set = |settings: &mut HttpSettings| {
        settings.limits.uptime = uptime;
        settings.limits.refused_logins_per_minute = 3;
        settings.proxies.networks = vec![network];
        set(settings);
    };
    let server = TestServer::authenticated_with(set, HttpServer::default()).await?;
    Ok((server, seconds))
}

async fn issue_key(server: &TestServer) -> anyhow::Result<String> {
    let key = NewApiKey {
        user: "olga".to_owned(),
        role: Role::Admin,
        expires_at: None,
    };
    let engine = &server.engine;
    Ok(tenants::issue_key(&server.ctx(), engine.store(), engine.entropy(), key).await?)
}

async fn login(server: &TestServer, key: &str) -> anyhow::Result<Response> {
    server.send(get(USERS).header("X-API-Key", key)).await
}

/// The value of the counter of this kind.
async fn refused(server: &TestServer, kind: &str) -> anyhow::Result<u64> {
    let metrics = server.send(get("/metrics")).await?.text();
    let name = format!("tidegate_refused_logins_total{{kind=\"{kind}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&name));
    Ok(line.unwrap_or("no such counter").parse()?)
}

#[tokio::test]
async fn refused_logins_of_an_address_are_slowed_and_valid_ones_pass() -> anyhow::Result<()> {
    let (server, seconds) = server(|_| {}).await?;
    let key = issue_key(&server).await?;
    for n in 0..3 {
        assert_eq!(login(&server, &format!("guess {n}")).await?.status, 401);
    }
    // Keys and tokens share the budget, also on loopback.
    let token = get(USERS).header("Authorization", "Bearer a.b.c");
    for slowed in [login(&server, "guess 3").await?, server.send(token).await?] {
        assert_eq!(slowed.status, 429);
        assert_eq!(slowed.header("retry-after"), Some("20"));
        assert_eq!(slowed.json()["code"], "too_many_refused_logins");
    }
    // Clients behind the same address, with a key that this server has never seen, with a device's credential, and
    // without any.
    for _ in 0..5 {
        assert_eq!(login(&server, &key).await?.status, 200);
    }
    let poll = get(BASE).header("Authorization", GATEWAY);
    assert_eq!(server.send(poll).await?.status, 200);
    assert_eq!(server.send(get(USERS)).await?.status, 401);
    // Another client of the same proxy.
    let elsewhere = get(USERS)
        .header("X-API-Key", "guess 4")
        .header("X-Forwarded-For", "192.0.2.1");
    assert_eq!(server.send(elsewhere).await?.status, 401);

    seconds.store(20, Ordering::SeqCst);
    assert_eq!(login(&server, "guess 5").await?.status, 401);
    assert_eq!(login(&server, "guess 6").await?.status, 429);
    Ok(())
}

#[tokio::test]
async fn a_refused_key_is_slowed_from_all_addresses() -> anyhow::Result<()> {
    let (server, seconds) = server(|_| {}).await?;
    let key = issue_key(&server).await?;
    let login_from = async |client: usize, key: &str| {
        let login = get(USERS)
            .header("X-API-Key", key)
            .header("X-Forwarded-For", &format!("192.0.2.{client}"));
        anyhow::Ok(server.send(login).await?.status)
    };
    let revoked = "a revoked key";
    for client in 1..=3 {
        assert_eq!(login_from(client, revoked).await?, 401);
    }
    assert_eq!(login_from(4, revoked).await?, 429);
    assert_eq!(login_from(5, revoked).await?, 429);
    assert_eq!(login_from(5, &key).await?, 200);
    assert_eq!(login_from(5, "another key").await?, 401);
    seconds.store(20, Ordering::SeqCst);
    assert_eq!(login_from(6, revoked).await?, 401);
    Ok(())
}

#[tokio::test]
async fn without_a_limit_no_login_is_slowed() -> anyhow::Result<()> {
    let (server, _) = server(|settings| settings.limits.refused_logins_per_minute = 0).await?;
    for _ in 0..50 {
        assert_eq!(login(&server, "guess").await?.status, 401);
    }
    assert_eq!(refused(&server, "api_key").await?, 50);
    Ok(())
}

#[tokio::test]
async fn devices_are_counted_and_never_slowed() -> anyhow::Result<()> {
    let (server, _) = server(|_| {}).await?;
    server.put_device("dev-1", "secret").await?;
    let poll = async |authorization: &str| {
        let poll = get(BASE).header("Authorization", authorization);
        anyhow::Ok(server.send(poll).await?.status)
    };
    for _ in 0..20 {
        assert_eq!(poll("TargetToken wrong").await?, 401);
        assert_eq!(poll("GatewayToken wrong").await?, 401);
        assert_eq!(poll("TargetToken secret").await?, 200);
        assert_eq!(poll(GATEWAY).await?, 200);
        assert_eq!(server.send(get(BASE)).await?.status, 401);
    }
    // An authority that the tenant does not trust.
    let certificate = get(BASE)
        .header("X-Controller-Id", "dev-1")
        .header("X-Authority", "plant");
    assert_eq!(server.send(certificate).await?.status, 401);
    for (kind, count) in [
        ("target_token", 20),
        ("gateway_token", 20),
        ("certificate", 1),
        ("none", 20),
        ("api_key", 0),
        ("bearer_token", 0),
        ("metrics_token", 0),
    ] {
        assert_eq!(refused(&server, kind).await?, count, "{kind}");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_login_is_a_log_event_with_its_address_and_kind() -> anyhow::Result<()> {
    let (server, _) = server(|_| {}).await?;
    let revoked = format!("tg_{}", "0f".repeat(32));
    let log = CapturedLog::start();
    let from = |request: crate::raw_http::Request, client: &str| {
        server.send(request.header("X-Forwarded-For", client))
    };
    let user = |header, value| get(USERS).header(header, value);
    from(user("X-API-Key", &revoked), "192.0.2.1").await?;
    from(user("X-API-Key", "my password"), "192.0.2.1").await?;
    from(user("Authorization", "Bearer a.b.c"), "2001:db8::1").await?;
    from(get(USERS), "192.0.2.2").await?;
    let device = |value| get(BASE).header("Authorization", value);
    from(device("TargetToken wrong"), "192.0.2.3").await?;
    let stranger = "/none/controller/v1/dev-9";
    from(
        get(stranger).header("Authorization", "GatewayToken x"),
        "192.0.2.4",
    )
    .await?;

    let events = log.events("login refused").into_iter().map(|mut event| {
        assert_eq!(event["level"], "WARN");
        let event = event.as_object_mut().expect("an object");
        for field in ["timestamp", "level", "target", "message", "span", "spans"] {
            event.remove(field);
        }
        Value::Object(std::mem::take(event))
    });
    let key_id = tenants::generated_key_id(&revoked).expect("an id");
    assert_eq!(
        events.collect::<Vec<_>>(),
        [
            json!({"kind": "api_key", "client": "192.0.2.1", "key_id": key_id, "reason": "unknown or expired API key"}),
            json!({"kind": "api_key", "client": "192.0.2.1", "reason": "unknown or expired API key"}),
            json!({"kind": "bearer_token", "client": "2001:db8::1", "reason": "invalid or expired token"}),
            json!({"kind": "none", "client": "192.0.2.2", "reason": "no API key and no bearer token"}),
            json!({
                "kind": "target_token", "client": "192.0.2.3", "tenant": "\"LAB\"", "device": "\"dev-1\"",
                "reason": "wrong token or unknown device",
            }),
            json!({
                "kind": "gateway_token", "client": "192.0.2.4", "tenant": "\"none\"", "device": "\"dev-9\"",
                "reason": "unknown tenant",
            }),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_flood_of_refused_logins_is_one_event_and_is_counted() -> anyhow::Result<()> {
    let (server, seconds) = server(|_| {}).await?;
    let log = CapturedLog::start();
    for n in 0..30 {
        login(&server, &format!("guess {n}")).await?;
        let poll = get(BASE).header("Authorization", "TargetToken wrong");
        server.send(poll).await?;
    }
    let further = "too many logins refused, further ones are only counted";
    assert_eq!(log.events("login refused").len(), 3);
    assert_eq!(log.events(further).len(), 1);
    assert_eq!(log.events(further)[0]["client"], "127.0.0.1");
    assert_eq!(refused(&server, "api_key").await?, 30);
    assert_eq!(refused(&server, "target_token").await?, 30);
    // The next flood.
    seconds.store(60, Ordering::SeqCst);
    for n in 30..60 {
        login(&server, &format!("guess {n}")).await?;
    }
    assert_eq!(log.events("login refused").len(), 6);
    assert_eq!(log.events(further).len(), 2);
    Ok(())
}

/// The answer to an invalid id hides whether the credential is valid. Guesses of it are reported as others are.
#[tokio::test]
async fn guesses_for_an_invalid_id_are_refused_logins() -> anyhow::Result<()> {
    let (server, _) = server(|_| {}).await?;
    server.put_device("pump 7", "own").await?;
    let log = CapturedLog::start();
    for path in [
        "/LAB/controller/v1/pump%207",
        "/LAB/controller/v1/pump%208",
        "/NO/controller/v1/pump%207",
    ] {
        let guess = get(path).header("Authorization", "TargetToken wrong");
        assert_eq!(server.send(guess).await?.status, 400, "{path}");
    }
    assert_eq!(refused(&server, "target_token").await?, 3);
    assert_eq!(log.events("login refused").len(), 3);
    let valid = get("/LAB/controller/v1/pump%208").header("Authorization", GATEWAY);
    assert_eq!(server.send(valid).await?.status, 400);
    assert_eq!(log.events("login refused").len(), 3);
    Ok(())
}

#[tokio::test]
async fn metrics_can_require_a_token() -> anyhow::Result<()> {
    let token = "0123456789abcdef";
    let (server, _) = server(|settings| settings.metrics.token = Some(token.to_owned())).await?;
    let scrape = async |authorization: Option<String>| {
        let scrape = get("/metrics");
        let scrape = match authorization {
            Some(value) => scrape.header("Authorization", &value),
            None => scrape,
        };
        server.send(scrape).await
    };
    let right = || Some(format!("Bearer {token}"));
    let without = scrape(None).await?;
    assert_eq!(without.status, 401);
    assert_eq!(without.header("www-authenticate"), Some("Bearer"));
    assert_eq!(without.json()["code"], "unauthenticated");
    let key = issue_key(&server).await?;
    assert_eq!(scrape(Some(format!("Bearer {key}"))).await?.status, 401);
    assert_eq!(
        scrape(Some("Bearer 0123456789abcdeF".to_owned()))
            .await?
            .status,
        401
    );
    let slowed = scrape(Some("Bearer 0123456789abcde".to_owned())).await?;
    assert_eq!(
        (slowed.status, slowed.header("retry-after")),
        (429, Some("20"))
    );
    assert_eq!(scrape(None).await?.status, 401);

    let metrics = scrape(right()).await?;
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    for line in [
        r#"tidegate_refused_logins_total{kind="metrics_token"} 3"#,
        r#"tidegate_refused_logins_total{kind="none"} 2"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{text}");
    }
    // Probes need no token.
    assert_eq!(server.send(get("/health")).await?.status, 200);
    assert_eq!(server.send(request("POST", "/metrics")).await?.status, 405);
    Ok(())
}

#[tokio::test]
async fn metrics_with_an_address_of_their_own_are_not_on_that_of_the_api() -> anyhow::Result<()> {
    let (server, _) = server(|settings| settings.metrics.has_own_address = true).await?;
    assert_eq!(server.send(get("/metrics")).await?.status, 404);
    assert_eq!(server.send(get("/health")).await?.status, 200);
    Ok(())
}
