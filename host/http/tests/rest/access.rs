//! API keys, bearer tokens and tenants.

use axum::body::Body;
use http::Request;
use serde_json::json;
use tidegate_core::time::Timestamp;
use tidegate_engine::{
    Actor, Role,
    tenants::{self, NewApiKey},
};

use crate::test_server::TestServer;

fn bearer(path: &str, token: &str) -> Request<Body> {
    let request = Request::builder()
        .uri(path)
        .header("authorization", format!("Bearer {token}"));
    request.body(Body::empty()).expect("a request")
}

#[tokio::test]
async fn a_key_works_until_it_expires() {
    let server = TestServer::new().await;
    let new_key = NewApiKey {
        user: "maker".to_owned(),
        role: Role::Viewer,
        expires_at: Some(Timestamp(1_777_636_800_000 + 60_000)),
    };
    let engine = &server.state.engine;
    let ctx = engine.trusted_ctx(server.tenant.id, Actor::command_line());
    let key = tenants::issue_key(&ctx, engine.store(), engine.entropy(), new_key)
        .await
        .expect("a key");
    assert!(key.starts_with("tg_") && key.len() == 67, "{key}");
    let list = || server.send("GET", "/api/v1/devices", &key, &json!(null));
    list().await.expect(200);
    server.clock.advance_seconds(59);
    list().await.expect(200);
    server.clock.advance_seconds(1);
    list().await.expect_problem(401);
}

#[tokio::test]
async fn the_first_key_is_shown_once() {
    let server = TestServer::new().await;
    let again = tenants::bootstrap(&server.state.engine)
        .await
        .expect("a second start");
    assert_eq!(again.admin_key, None);
    assert_eq!(again.tenant, server.tenant);
}

#[tokio::test]
async fn another_tenants_resources_are_not_found() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let campaign = server.campaign(json!({})).await;
    let firmware =
        server.get("/api/v1/firmware").await.expect(200)["items"][0]["firmware_id"].clone();
    let other = tenants::create(&server.server_ctx(), server.state.engine.store(), "other")
        .await
        .expect("a tenant");
    assert_eq!(other.name, "OTHER");
    let key = server.key_of(&other, "stranger", Role::Admin).await;
    for path in [
        campaign.clone(),
        format!("{campaign}/waves"),
        format!("{campaign}/journal"),
        format!("{campaign}/events"),
        format!("/api/v1/firmware/{firmware}"),
        format!("/api/v1/firmware/{firmware}/download"),
        "/api/v1/devices/pi-0".to_owned(),
        "/api/v1/devices/pi-0/explain".to_owned(),
        "/api/v1/plugins/canary".to_owned(),
    ] {
        let response = server.send("GET", &path, &key, &json!(null)).await;
        assert_eq!(response.expect_problem(404).0, "not_found", "{path}");
    }
    for path in ["start", "pause", "cancel", "approve", "rollback"] {
        let response = server
            .send("POST", &format!("{campaign}/{path}"), &key, &json!({}))
            .await;
        response.expect_problem(404);
    }
    let listed = server
        .send("GET", "/api/v1/devices", &key, &json!(null))
        .await
        .expect(200);
    assert_eq!(listed["total"], 0);
}

#[tokio::test]
async fn development_tokens_exist_only_in_development() {
    let payload = json!({"user_id": "maker", "email": "maker@example.org", "role": "viewer", "expires_in": 60});
    let server = TestServer::new().await;
    server
        .post("/api/v1/auth/dev-token", &payload)
        .await
        .expect_problem(404);

    let server = TestServer::with(|settings| settings.dev = true).await;
    let created = server
        .send("POST", "/api/v1/auth/dev-token", "", &payload)
        .await
        .expect(200);
    let token = created["token"].as_str().expect("a token");
    server
        .send_request(bearer("/api/v1/devices", token))
        .await
        .expect(200);
    server
        .send_request(bearer("/api/v1/devices", &format!("{token}x")))
        .await
        .expect_problem(401);
    server.clock.advance_seconds(60);
    server
        .send_request(bearer("/api/v1/devices", token))
        .await
        .expect_problem(401);

    let without_user = json!({"user_id": "", "expires_in": 60});
    let refused = server
        .post("/api/v1/auth/dev-token", &without_user)
        .await
        .expect_problem(422);
    assert_eq!(refused.1, ["/user_id"]);
    let unknown_tenant = json!({"user_id": "maker", "tenant": "nowhere"});
    assert_eq!(
        server
            .post("/api/v1/auth/dev-token", &unknown_tenant)
            .await
            .expect_problem(422)
            .1,
        ["/tenant"]
    );
}
