//! Gateways and device tokens.

use serde_json::json;
use tidegate_engine::Role;

use crate::test_server::TestServer;

#[tokio::test]
async fn a_gateway_is_created_listed_and_deleted() {
    let server = TestServer::new().await;
    let payload = json!({"name": "hall 3", "group": "hall"});
    let created = server.post("/api/v1/gateways", &payload).await;
    let body = created.expect(201);
    assert!(
        body["token"]
            .as_str()
            .is_some_and(|token| token.starts_with("tgw_"))
    );
    assert_eq!(created.headers["cache-control"], "no-store");
    let path = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(
        server
            .post("/api/v1/gateways", &payload)
            .await
            .expect_problem(409)
            .0,
        "gateway_exists"
    );
    server
        .post("/api/v1/gateways", &json!({"name": "all"}))
        .await
        .expect(201);

    let listed = server.get("/api/v1/gateways").await.expect(200);
    assert_eq!(listed["count"], 2);
    assert_eq!(listed["items"][1], body["gateway"]);
    assert_eq!(
        (&listed["items"][0]["group"], &listed["items"][1]["group"]),
        (&json!(null), &json!("hall"))
    );
    assert!(
        !listed.to_string().contains("tgw_"),
        "tokens are shown once"
    );

    let delete = || server.send("DELETE", &path, &server.admin, &json!(null));
    delete().await.expect(204);
    delete().await.expect_problem(404);
    assert_eq!(server.get("/api/v1/gateways").await.expect(200)["count"], 1);
}

#[tokio::test]
async fn only_an_admin_makes_gateways() {
    let server = TestServer::new().await;
    let operator = server.key("olga", Role::Operator).await;
    for (method, path) in [
        ("POST", "/api/v1/gateways"),
        ("DELETE", "/api/v1/gateways/1"),
    ] {
        let refused = server
            .send(method, path, &operator, &json!({"name": "x"}))
            .await;
        assert_eq!(refused.expect_problem(403).0, "role_missing");
    }
    for (body, field) in [
        (json!({"name": ""}), "/name"),
        (json!({"name": "a\nb"}), "/name"),
        (json!({"name": "x".repeat(201)}), "/name"),
        (json!({"name": "x", "group": ""}), "/group"),
        (json!({"name": "x", "group": "g".repeat(101)}), "/group"),
        (json!({"name": "x", "scope": "g"}), "/scope"),
    ] {
        let refused = server
            .post("/api/v1/gateways", &body)
            .await
            .expect_problem(422);
        assert_eq!(refused.1, [field], "{body}");
    }
    assert_eq!(server.get("/api/v1/gateways").await.expect(200)["count"], 0);
}

#[tokio::test]
async fn a_device_token_is_replaced_and_revoked() {
    let server = TestServer::new().await;
    let created = server
        .post("/api/v1/devices", &json!({"device_id": "pi/1"}))
        .await
        .expect(201);
    let path = "/api/v1/devices/pi%2F1/token";
    let replaced = server.post(path, &json!({})).await;
    let body = replaced.expect(201);
    assert_eq!(replaced.headers["location"], "/api/v1/devices/pi%2F1");
    assert_ne!(body["token"], created["token"]);
    assert_eq!(body["old_token_expires_at"], "2026-05-08T12:00:00.000Z");
    let at_once = server
        .post(path, &json!({"old_token_expires_in": 0}))
        .await
        .expect(201);
    assert_eq!(at_once["old_token_expires_at"], json!(null));
    let too_long = server
        .post(path, &json!({"old_token_expires_in": 1_000_000_000}))
        .await;
    assert_eq!(too_long.expect_problem(422).1, ["/old_token_expires_in"]);

    let revoke = |path| server.send("DELETE", path, &server.admin, &json!(null));
    revoke(path).await.expect(204);
    revoke("/api/v1/devices/unknown/token")
        .await
        .expect_problem(404);
    server
        .post("/api/v1/devices/unknown/token", &json!({}))
        .await
        .expect_problem(404);
}
