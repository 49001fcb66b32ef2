//! API keys, bearer tokens and tenants.

use axum::body::Body;
use http::Request;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
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
    for server in TestServer::on_both_databases(|_| {}).await {
        let new_key = NewApiKey {
            user: "creator".to_owned(),
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
}

#[tokio::test]
async fn the_first_key_is_shown_once() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let again = tenants::bootstrap(&server.state.engine)
            .await
            .expect("a second start");
        assert_eq!(again.admin_key, None);
        assert_eq!(again.tenant, server.tenant);
    }
}

#[tokio::test]
async fn another_tenants_resources_are_not_found() {
    for server in TestServer::on_both_databases(|_| {}).await {
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
            "/api/v1/plugins/acme/canary".to_owned(),
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
}

#[tokio::test]
async fn development_tokens_exist_only_in_development() {
    let payload = json!({"user_id": "creator", "email": "creator@example.org", "role": "viewer", "expires_in": 60});
    for server in TestServer::on_both_databases(|_| {}).await {
        server
            .post("/api/v1/auth/dev-token", &payload)
            .await
            .expect_problem(404);
    }

    for server in TestServer::on_both_databases(|settings| settings.dev = true).await {
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
        // A minute of leeway.
        server.clock.advance_seconds(119);
        server
            .send_request(bearer("/api/v1/devices", token))
            .await
            .expect(200);
        server.clock.advance_seconds(1);
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
        let unknown_tenant = json!({"user_id": "creator", "tenant": "nowhere"});
        assert_eq!(
            server
                .post("/api/v1/auth/dev-token", &unknown_tenant)
                .await
                .expect_problem(422)
                .1,
            ["/tenant"]
        );
    }
}

#[tokio::test]
async fn a_user_has_a_name_that_is_shown_as_it_is() {
    for server in TestServer::on_both_databases(|settings| settings.dev = true).await {
        let engine = &server.state.engine;
        let ctx = engine.trusted_ctx(server.tenant.id, Actor::command_line());
        for user in ["olga ", " olga", "olga\u{200b}", "olga\u{a0}", "zoe\u{308}"] {
            let payload = json!({"user_id": user});
            let refused = server.post("/api/v1/auth/dev-token", &payload).await;
            assert_eq!(refused.expect_problem(422).1, ["/user_id"], "{user:?}");
            let new_key = NewApiKey {
                user: user.to_owned(),
                role: Role::Approver,
                expires_at: None,
            };
            let key = tenants::issue_key(&ctx, engine.store(), engine.entropy(), new_key).await;
            let refused = key.expect_err("it is invalid");
            assert!(refused.to_string().contains("NFC"), "{refused}");
        }
    }
}

#[tokio::test]
async fn a_development_server_answers_only_to_names_of_its_machine() {
    let servers = TestServer::on_both_databases(|settings| {
        settings.dev = true;
        settings.loopback_hosts_only = true;
    });
    for server in servers.await {
        let requests = [
            (
                "POST",
                "/api/v1/auth/dev-token",
                r#"{"user_id": "creator"}"#,
            ),
            ("GET", "/api/v1/openapi.json", ""),
            ("GET", "/health", ""),
            ("GET", "/default/controller/v1/edge-1", ""),
        ];
        for (method, path, body) in requests {
            let send = |host: Option<&'static str>| {
                let request = Request::builder()
                    .method(method)
                    .uri(path)
                    .header("content-type", "application/json");
                let request = match host {
                    Some(host) => request.header("host", host),
                    None => request,
                };
                server.send_request(request.body(Body::from(body)).expect("a request"))
            };
            for host in ["localhost:8080", "127.0.0.1:8080", "[::1]"] {
                assert_ne!(send(Some(host)).await.status, 421, "{path} of {host}");
            }
            for host in [Some("rebound.example:8080"), Some("10.0.0.7"), None] {
                let refused = send(host).await.expect_problem(421);
                assert_eq!(refused.0, "not_loopback", "{path} of {host:?}");
            }
        }
    }
}

async fn poll(server: &TestServer, kind: &str, token: &str) -> u16 {
    let request = Request::get("/default/controller/v1/edge-1")
        .header("host", "tide.example")
        .header("authorization", format!("{kind} {token}"))
        .body(Body::empty());
    let response = server.send_request(request.expect("a request")).await;
    response.status
}

#[tokio::test]
async fn an_administrator_chooses_tokens() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let operator = server.key("olga", Role::Operator).await;
        let [first, second, third] =
            ["a1", "b2", "c3"].map(|pair| format!("from-another-server-{}", pair.repeat(8)));

        let device = json!({"device_id": "edge-1", "token": first});
        let refused = server
            .send("POST", "/api/v1/devices", &operator, &device)
            .await;
        assert_eq!(refused.expect_problem(403).0, "role_missing");
        let created = server.post("/api/v1/devices", &device).await.expect(201);
        assert_eq!(created["token"], json!(first));
        assert_eq!(poll(&server, "TargetToken", &first).await, 200);

        let change = json!({"token": second, "old_token_expires_in": 0});
        let path = "/api/v1/devices/edge-1/token";
        let refused = server.send("POST", path, &operator, &change).await;
        assert_eq!(refused.expect_problem(403).0, "role_missing");
        server.post(path, &change).await.expect(201);
        assert_eq!(poll(&server, "TargetToken", &first).await, 401);
        assert_eq!(poll(&server, "TargetToken", &second).await, 200);
        let long = json!({"token": "x".repeat(129)});
        let refused = server.post(path, &long).await.expect_problem(422);
        assert_eq!(refused.1, ["/token"]);

        let gateway = |name: &str, token: &str| json!({"name": name, "token": token});
        let gateways = "/api/v1/gateways";
        let odd = gateway("hall", "gateway token of it");
        let refused = server.post(gateways, &odd).await.expect_problem(422);
        assert_eq!(refused.1, ["/token"]);
        let created = server.post(gateways, &gateway("hall", &third)).await;
        assert_eq!(created.expect(201)["token"], json!(third));
        assert_eq!(poll(&server, "GatewayToken", &third).await, 200);
        let again = server.post(gateways, &gateway("yard", &third)).await;
        assert_eq!(again.expect_problem(409).0, "gateway_exists");
    }
}

#[tokio::test]
async fn a_token_whose_user_is_malformed_is_refused() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let read = async |user: &Value, secret: &[u8]| {
            let claims = json!({
                "sub": user, "tenant": "DEFAULT", "role": "viewer", "iat": 1_777_636_800, "exp": 1_777_636_860,
            });
            let key = EncodingKey::from_secret(secret);
            let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key);
            let token = token.expect("a token");
            server.send_request(bearer("/api/v1/devices", &token)).await
        };
        let (user, secret) = (json!("maker"), [7; 32]);
        read(&user, &secret).await.expect(200);
        let forged = read(&user, &[8; 32]).await.expect_problem(401);
        for malformed in [
            json!(null),
            json!(5),
            json!(["maker"]),
            json!(""),
            json!(" maker"),
            json!("ma\u{200b}ker"),
            json!("ma\nker"),
            json!("m".repeat(201)),
        ] {
            let refused = read(&malformed, &secret).await.expect_problem(401);
            assert_eq!(refused, forged, "{malformed}");
        }
    }
}
