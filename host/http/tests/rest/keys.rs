//! API keys, as administrators see them.

use serde_json::json;
use tidegate_engine::{Role, fingerprint, tenants};

use crate::test_server::TestServer;

#[tokio::test]
async fn keys_show_when_they_were_last_used_on_sqlite() {
    check_last_use(&TestServer::new().await).await;
}

#[tokio::test]
async fn keys_show_when_they_were_last_used_on_postgres() {
    if let Some(server) = TestServer::on_postgres().await {
        check_last_use(&server).await;
    }
}

async fn check_last_use(server: &TestServer) {
    // After the first administrator's.
    server.clock.advance_seconds(1);
    let key = server.key("olga", Role::Operator).await;
    let id = tenants::key_id(&fingerprint(&key));
    let path = format!("/api/v1/keys/{id}");
    let engine = &server.state.engine;
    let flush = || tenants::flush_key_uses(engine.store(), engine.caches());

    let unused = json!({
        "key_id": id, "user": "olga", "role": "operator", "created_at": "2026-05-01T12:00:01.000Z", "expires_at": null,
        "last_used": null,
    });
    assert_eq!(server.get(&path).await.expect(200), unused);
    server.clock.advance_seconds(60);
    let list = || server.send("GET", "/api/v1/devices", &key, &json!(null));
    list().await.expect(200);
    flush().await.expect("a database");
    let used = server.get(&path).await.expect(200);
    assert_eq!(used["last_used"], "2026-05-01T12:01:01.000Z");

    // The latest use counts. What a key may not do is a use as well.
    server.clock.advance_seconds(30);
    list().await.expect(200);
    server.clock.advance_seconds(30);
    let forbidden = server.send("GET", "/api/v1/keys", &key, &json!(null)).await;
    assert_eq!(forbidden.expect_problem(403).0, "role_missing");
    flush().await.expect("a database");
    flush().await.expect("a database");
    let used = server.get(&path).await.expect(200);
    assert_eq!(used["last_used"], "2026-05-01T12:02:01.000Z");
    let listed = server.get("/api/v1/keys").await.expect(200);
    assert_eq!((&listed["count"], &listed["items"][1]), (&json!(2), &used));
    assert_eq!(listed["items"][0]["user"], "admin");
    assert!(!listed.to_string().contains("tg_"), "keys are not stored");
}

#[tokio::test]
async fn an_expired_key_is_not_used() {
    let server = TestServer::new().await;
    let engine = &server.state.engine;
    let key = server.expiring_key("olga", Role::Viewer, 60).await;
    let id = tenants::key_id(&fingerprint(&key));
    server.clock.advance_seconds(60);
    let refused = server.send("GET", "/api/v1/devices", &key, &json!(null));
    refused.await.expect_problem(401);
    tenants::flush_key_uses(engine.store(), engine.caches())
        .await
        .expect("a database");
    let shown = server.get(&format!("/api/v1/keys/{id}")).await.expect(200);
    assert_eq!(shown["last_used"], json!(null));
    assert_eq!(shown["expires_at"], "2026-05-01T12:01:00.000Z");
}

#[tokio::test]
async fn only_keys_of_the_own_tenant_are_found() {
    let server = TestServer::new().await;
    let other = tenants::create(&server.server_ctx(), server.state.engine.store(), "other")
        .await
        .expect("a tenant");
    let stranger = server.key_of(&other, "stranger", Role::Admin).await;
    let ours = tenants::key_id(&fingerprint(&server.admin));
    for (key, id, status) in [
        (&server.admin, &*ours, 200),
        (&stranger, &ours, 404),
        (&server.admin, "0123456789ab", 404),
        (&server.admin, &ours[..11], 404),
    ] {
        let path = format!("/api/v1/keys/{id}");
        let shown = server.send("GET", &path, key, &json!(null)).await;
        assert_eq!(shown.status, status, "{id}");
    }
    let listed = server
        .send("GET", "/api/v1/keys", &stranger, &json!(null))
        .await
        .expect(200);
    assert_eq!(listed["count"], 1);
}
