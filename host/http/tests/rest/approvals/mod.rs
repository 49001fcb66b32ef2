//! The four-eyes principle: campaigns and updates that another user has to approve.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_core::id::Digest;
use tidegate_engine::{Role, ports::ApiKeyRecord};

use crate::test_server::{TestResponse, TestServer, request};

mod bulk_updates;
mod campaigns;
mod retries;
mod single_updates;

/// A server whose tenant requires approval, with two devices, a firmware and users.
struct ApprovalFixture {
    server: TestServer,
    firmware: i64,
    tokens: Vec<String>,
    operator: String,
    approver: String,
}

impl ApprovalFixture {
    async fn new(server: TestServer) -> Self {
        let mut tokens = Vec::new();
        for n in 0..3 {
            let device = json!({"device_id": format!("pi-{n}"), "groups": ["lab"]});
            let created = server.post("/api/v1/devices", &device).await.expect(201);
            tokens.push(created["token"].as_str().expect("a token").to_owned());
        }
        let fixture = Self {
            firmware: server.firmware("1.1.0", b"new").await,
            operator: server.key("olga", Role::Operator).await,
            approver: server.key("ada", Role::Approver).await,
            tokens,
            server,
        };
        fixture.set(json!(true)).await;
        fixture
    }

    async fn set(&self, requires_approval: Value) {
        let patch = json!({"requires_approval": requires_approval});
        let changed = self
            .server
            .send("PATCH", "/api/v1/settings", &self.server.admin, &patch);
        let expected = requires_approval.as_bool().unwrap_or_default();
        assert_eq!(
            changed.await.expect(200)["requires_approval"],
            json!(expected)
        );
    }

    async fn update(&self, device: usize, force: bool) -> Value {
        let path = format!("/api/v1/devices/pi-{device}/update");
        let body = json!({"firmware_id": self.firmware, "force": force});
        let created = self.server.send("POST", &path, &self.operator, &body).await;
        created.expect(201)
    }

    async fn bulk(&self, devices: &[&str]) -> Value {
        let body = json!({"device_ids": devices, "firmware_id": self.firmware});
        let path = "/api/v1/devices/bulk/update";
        self.server
            .send("POST", path, &self.operator, &body)
            .await
            .expect(200)
    }

    async fn decide(&self, key: &str, id: &Value, body: Value) -> TestResponse {
        let path = format!("/api/v1/updates/{id}/approve");
        self.server.send("POST", &path, key, &body).await
    }

    async fn status(&self, id: &Value) -> Value {
        let update = self
            .server
            .get(&format!("/api/v1/updates/{id}"))
            .await
            .expect(200);
        update["status"].clone()
    }

    /// Ends an update, whether its device knows of it or not.
    async fn cancel(&self, id: &Value) {
        let path = format!("/api/v1/updates/{id}/cancel");
        for force in [false, true] {
            let body = json!({"force": force});
            self.server.send("POST", &path, &self.operator, &body).await;
        }
        assert_eq!(self.status(id).await, "cancelled");
    }

    async fn retry(&self, id: &Value, options: Value) -> Value {
        let path = format!("/api/v1/updates/{id}/retry");
        let retried = self
            .server
            .send("POST", &path, &self.operator, &options)
            .await;
        retried.expect(201)
    }

    /// Whether a poll of the device links to an update.
    async fn is_shown(&self, device: usize) -> bool {
        let poll = Request::get(format!("/default/controller/v1/pi-{device}"))
            .header("host", "localhost")
            .header(
                "authorization",
                format!("TargetToken {}", self.tokens[device]),
            )
            .body(Body::empty());
        let poll = self
            .server
            .send_request(poll.expect("a request"))
            .await
            .expect(200);
        poll["_links"]["deploymentBase"].is_object()
    }

    /// The status of a device's request for an update, and of its feedback on it.
    async fn device_statuses(&self, device: usize, id: &Value) -> (u16, u16) {
        let base = format!("/default/controller/v1/pi-{device}/deploymentBase/{id}");
        let send = async |method: &str, path: String, body: String| {
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "localhost")
                .header("content-type", "application/json")
                .header(
                    "authorization",
                    format!("TargetToken {}", self.tokens[device]),
                )
                .body(Body::from(body));
            self.server
                .send_request(request.expect("a request"))
                .await
                .status
        };
        let feedback =
            json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
        (
            send("GET", base.clone(), String::new()).await,
            send("POST", format!("{base}/feedback"), feedback.to_string()).await,
        )
    }
}

async fn on_both(test: impl AsyncFn(ApprovalFixture)) {
    test(ApprovalFixture::new(TestServer::new().await).await).await;
    if let Some(server) = TestServer::on_postgres().await {
        test(ApprovalFixture::new(server).await).await;
    }
}

#[tokio::test]
async fn the_setting_is_off_by_default_and_waiting_updates_keep_waiting() {
    on_both(async |fixture| {
        let update = fixture.update(0, true).await;
        fixture.set(Value::Null).await;
        assert_eq!(
            fixture.status(&update["update_id"]).await,
            "waiting_approval"
        );
        assert_eq!(fixture.update(1, true).await["status"], "offered");
        let bulk = fixture.bulk(&["pi-2"]).await;
        assert_eq!(bulk["approval_id"], json!(null));
        assert!(fixture.is_shown(2).await);

        let other = TestServer::new().await;
        let settings = other.get("/api/v1/settings").await.expect(200);
        assert_eq!(settings["requires_approval"], false);
        let viewer = other.key("vera", Role::Viewer).await;
        let patch = json!({"requires_approval": true});
        let refused = other
            .send("PATCH", "/api/v1/settings", &viewer, &patch)
            .await;
        refused.expect_problem(403);
        let text = json!({"requires_approval": "yes"});
        let refused = other
            .send("PATCH", "/api/v1/settings", &other.admin, &text)
            .await;
        assert_eq!(refused.expect_problem(422).1, ["/requires_approval"]);
    })
    .await;
}

#[tokio::test]
async fn a_decision_is_replayed() {
    on_both(async |fixture| {
        let update = fixture.update(0, true).await;
        let path = format!("/api/v1/updates/{}/approve", update["update_id"]);
        let send = || {
            let request = request("POST", &path, &fixture.approver)
                .header("content-type", "application/json")
                .header("idempotency-key", "approve-once");
            fixture
                .server
                .send_request(request.body(Body::from("{}")).expect("a request"))
        };
        let first = send().await.expect(200);
        let again = send().await;
        assert_eq!(again.headers["idempotent-replayed"], "true");
        assert_eq!(again.expect(200), first);
    })
    .await;
}

#[tokio::test]
async fn a_user_has_one_pair_of_eyes_however_the_name_is_spelled() {
    on_both(async |fixture| {
        let update = fixture.update(0, true).await;
        let id = &update["update_id"];
        let server = &fixture.server;
        let same = server.key("OLGA", Role::Approver).await;
        // As an earlier server has accepted it.
        let (older, engine) = ("older key", &server.state.engine);
        let record = ApiKeyRecord {
            tenant: server.tenant.id,
            user: "olga\u{200b} ".to_owned(),
            role: Role::Approver,
            sha256: Digest::of(older.as_bytes()).0,
            expires_at: None,
            created_at: engine.now(),
            last_used: None,
        };
        let ctx = server.server_ctx().in_tenant(server.tenant.id);
        let stored = engine.store().create_key(&ctx, record).await;
        stored.expect("a key");
        for key in [&same, older] {
            let refused = fixture.decide(key, id, json!({})).await;
            assert_eq!(refused.expect_problem(403).0, "own_update");
        }
        fixture
            .decide(&fixture.approver, id, json!({}))
            .await
            .expect(200);
    })
    .await;
}
