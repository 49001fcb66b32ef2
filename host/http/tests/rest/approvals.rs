//! The four-eyes principle: campaigns and updates that another user has to approve.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_core::id::Digest;
use tidegate_engine::{Role, ports::ApiKeyRecord};

use crate::test_server::{TestResponse, TestServer, request};

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
async fn a_forced_update_waits_until_another_user_approves_it() {
    on_both(async |fixture| {
        let update = fixture.update(0, true).await;
        let id = &update["update_id"];
        assert_eq!(
            (&update["status"], &update["timeout_at"]),
            (&json!("waiting_approval"), &json!(null))
        );
        assert_eq!(
            (
                &update["approval"]["approval_id"],
                &update["approval"]["requested_by"]
            ),
            (id, &json!("olga"))
        );
        assert_eq!(update["approval"]["approved"], json!(null));
        assert!(!fixture.is_shown(0).await);
        assert_eq!(fixture.device_statuses(0, id).await, (404, 410));

        // Its creator cannot approve it, whatever the role, and others need the role.
        let creator = fixture.server.key("olga", Role::Admin).await;
        for body in [json!({}), json!({"approved": false})] {
            let refused = fixture.decide(&creator, id, body.clone()).await;
            assert_eq!(refused.expect_problem(403).0, "own_update");
            let refused = fixture.decide(&fixture.operator, id, body).await;
            assert_eq!(refused.expect_problem(403).0, "role_missing");
        }
        assert_eq!(fixture.status(id).await, "waiting_approval");

        let body = json!({"approval_comment": "checked"});
        let decided = fixture
            .decide(&fixture.approver, id, body)
            .await
            .expect(200);
        assert_eq!(
            (&decided["updates"], &decided["approved"]),
            (&json!(1), &json!(true))
        );
        assert_eq!(
            (&decided["decided_by"], &decided["comment"]),
            (&json!("ada"), &json!("checked"))
        );
        assert_eq!(fixture.status(id).await, "offered");
        assert!(fixture.is_shown(0).await);
        let shown = fixture
            .server
            .get(&format!("/api/v1/updates/{id}"))
            .await
            .expect(200);
        assert_eq!(shown["approval"]["decided_by"], "ada");
        assert!(shown["timeout_at"].is_string());
        let log = fixture
            .server
            .get(&format!("/api/v1/updates/{id}/log"))
            .await
            .expect(200);
        assert_eq!(log["lines"][0]["text"], "approved by ada: checked");
        let again = fixture.decide(&fixture.approver, id, json!({})).await;
        assert_eq!(again.expect_problem(409).0, "not_waiting");
    })
    .await;
}

#[tokio::test]
async fn an_update_without_force_needs_no_approval() {
    on_both(async |fixture| {
        let update = fixture.update(0, false).await;
        assert_eq!(
            (&update["status"], &update["approval"]),
            (&json!("offered"), &json!(null))
        );
        assert!(fixture.is_shown(0).await);
        let refused = fixture
            .decide(&fixture.approver, &update["update_id"], json!({}))
            .await;
        assert_eq!(refused.expect_problem(409).0, "not_waiting");
        let unknown = fixture
            .decide(&fixture.approver, &json!(987_654), json!({}))
            .await;
        assert_eq!(unknown.expect_problem(404).0, "not_found");
        let long = json!({"approval_comment": "x".repeat(1001), "approve": true});
        let invalid = fixture
            .decide(&fixture.approver, &update["update_id"], long)
            .await;
        assert_eq!(
            invalid.expect_problem(422).1,
            ["/approve", "/approval_comment"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_bulk_update_is_approved_as_one() {
    on_both(async |fixture| {
        let bulk = fixture.bulk(&["pi-0", "pi-1", "unknown", "pi-2"]).await;
        assert_eq!(bulk["refused"][0]["device_id"], "unknown");
        let ids: Vec<_> = bulk["accepted"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        let ids: Vec<_> = ids
            .iter()
            .map(|accepted| accepted["update_id"].clone())
            .collect();
        assert_eq!(ids.len(), 3);
        let approval = &bulk["approval_id"];
        assert!(approval.is_number(), "{bulk}");

        let list = "/api/v1/updates?status=waiting_approval";
        let waiting = fixture.server.get(list).await.expect(200);
        assert_eq!(
            (
                &waiting["total"],
                &waiting["items"][0]["approval"]["approval_id"]
            ),
            (&json!(3), approval)
        );
        let of_device = "/api/v1/devices/pi-1/updates?status=waiting_approval";
        assert_eq!(fixture.server.get(of_device).await.expect(200)["total"], 1);
        let completed = "/api/v1/devices/pi-1/updates?status=completed";
        assert_eq!(fixture.server.get(completed).await.expect(200)["total"], 0);
        let invalid = fixture.server.get("/api/v1/updates?status=waiting").await;
        assert_eq!(invalid.expect_problem(422).1, ["status"]);

        // The first of its updates may be gone; the approval is not.
        let first = fixture
            .server
            .get(&format!("/api/v1/updates/{approval}"))
            .await
            .expect(200);
        let path = format!(
            "/api/v1/devices/{}",
            first["device_id"].as_str().expect("an id")
        );
        let deleted = fixture
            .server
            .send("DELETE", &path, &fixture.server.admin, &json!(null));
        deleted.await.expect(204);
        let decided = fixture
            .decide(&fixture.approver, approval, json!({}))
            .await
            .expect(200);
        assert_eq!(
            (&decided["updates"], &decided["approval_id"]),
            (&json!(2), approval)
        );
        for id in ids.iter().filter(|id| *id != approval) {
            assert_eq!(fixture.status(id).await, "offered");
        }
        assert_eq!(fixture.server.get(list).await.expect(200)["total"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_rejected_update_ends_and_its_retry_waits_too() {
    on_both(async |fixture| {
        let bulk = fixture.bulk(&["pi-0", "pi-1"]).await;
        let ids = [0, 1].map(|n: usize| bulk["accepted"][n]["update_id"].clone());
        let explained = fixture
            .server
            .get("/api/v1/devices/pi-1/explain")
            .await
            .expect(200);
        let expected = format!(
            "update {} waits for the approval of another user than olga",
            ids[1]
        );
        assert!(explained.to_string().contains(&expected), "{explained}");

        // By the id of any of them.
        let body = json!({"approved": false, "approval_comment": "not on a Friday"});
        let decided = fixture
            .decide(&fixture.approver, &ids[1], body)
            .await
            .expect(200);
        assert_eq!(
            (&decided["approved"], &decided["updates"]),
            (&json!(false), &json!(2))
        );
        for id in &ids {
            let update = fixture
                .server
                .get(&format!("/api/v1/updates/{id}"))
                .await
                .expect(200);
            assert_eq!(
                (
                    &update["status"],
                    &update["error_code"],
                    &update["error_message"]
                ),
                (
                    &json!("cancelled"),
                    &json!("NOT_APPROVED"),
                    &json!("rejected by ada: not on a Friday")
                )
            );
        }
        assert!(!fixture.is_shown(1).await);

        let retry = async |id: &Value| {
            let path = format!("/api/v1/updates/{id}/retry");
            let retried = fixture
                .server
                .send("POST", &path, &fixture.operator, &json!({}))
                .await;
            retried.expect(201)
        };
        let retried = retry(&ids[0]).await;
        assert_eq!(retried["status"], "waiting_approval");
        let id = &retried["update_id"];
        fixture
            .decide(&fixture.approver, id, json!({}))
            .await
            .expect(200);
        assert_eq!(fixture.status(id).await, "offered");

        // One that was approved is retried at once; one that waits can be cancelled.
        let cancel = async |id: &Value| {
            let path = format!("/api/v1/updates/{id}/cancel");
            let cancelled = fixture
                .server
                .send("POST", &path, &fixture.operator, &json!({}))
                .await;
            cancelled.expect(200)
        };
        cancel(id).await;
        let force = json!({"force": true});
        let path = format!("/api/v1/updates/{id}/cancel");
        fixture
            .server
            .send("POST", &path, &fixture.operator, &force)
            .await
            .expect(200);
        assert_eq!(retry(id).await["status"], "offered");
        let waiting = retry(&ids[1]).await;
        assert_eq!(waiting["status"], "waiting_approval");
        assert_eq!(cancel(&waiting["update_id"]).await["status"], "cancelled");
        let refused = fixture
            .decide(&fixture.approver, &waiting["update_id"], json!({}))
            .await;
        assert_eq!(refused.expect_problem(409).0, "not_waiting");
    })
    .await;
}

#[tokio::test]
async fn a_campaign_needs_an_approval_whether_it_asks_for_it_or_not() {
    on_both(async |fixture| {
        let server = &fixture.server;
        let component: &[u8] = b"plugin canary strategy";
        let parts = [("component", None, component)];
        server.upload("/api/v1/plugins", &parts).await.expect(201);
        fixture.set(json!(false)).await;
        let before = server.campaign_of(fixture.firmware, json!({})).await;
        let shown = server.get(&before).await.expect(200);
        assert_eq!(shown["requires_approval"], false);
        fixture.set(json!(true)).await;
        let asks_for_none = json!({"name": "summer", "requires_approval": false});
        let after = server.campaign_of(fixture.firmware, asks_for_none).await;
        assert_eq!(
            server.get(&after).await.expect(200)["requires_approval"],
            true
        );
        for path in [before, after] {
            let start = format!("{path}/start");
            let refused = server.post(&start, &json!({})).await;
            assert_eq!(refused.expect_problem(409).0, "not_approved");
            let approve = format!("{path}/approve");
            let own = server.post(&approve, &json!({})).await;
            assert_eq!(own.expect_problem(403).0, "own_campaign");
            let body = json!({});
            let approved = server.send("POST", &approve, &fixture.approver, &body);
            approved.await.expect(200);
            server.post(&start, &json!({})).await.expect(200);
        }
    })
    .await;
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
async fn no_editor_of_a_campaign_decides_on_it() {
    on_both(async |fixture| {
        let server = &fixture.server;
        let component: &[u8] = b"plugin canary strategy";
        let parts = [("component", None, component)];
        server.upload("/api/v1/plugins", &parts).await.expect(201);
        let path = server.campaign_of(fixture.firmware, json!({})).await;
        let other = server.firmware("1.2.0", b"other").await;
        let mallory = server.key("mallory", Role::Admin).await;
        for (key, change) in [
            (&mallory, json!({"firmware_id": other})),
            (&fixture.operator, json!({"name": "autumn"})),
        ] {
            server.send("PATCH", &path, key, &change).await.expect(200);
        }
        assert_eq!(server.get(&path).await.expect(200)["edited_by"], "olga");
        let approve = format!("{path}/approve");
        for author in [&mallory, &server.admin] {
            for decision in [json!({}), json!({"approved": false})] {
                let refused = server.send("POST", &approve, author, &decision).await;
                assert_eq!(refused.expect_problem(403).0, "own_campaign");
            }
        }
        let approved = server
            .send("POST", &approve, &fixture.approver, &json!({}))
            .await;
        assert_eq!(approved.expect(200)["approved_by"], "ada");
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

#[tokio::test]
async fn the_retry_of_a_forced_update_waits_unless_it_was_approved_as_it_is() {
    on_both(async |fixture| {
        let forced = async || {
            let created = fixture.update(0, true).await;
            created["update_id"].clone()
        };
        // Before the tenant required approval.
        fixture.set(json!(false)).await;
        let old = forced().await;
        assert_eq!(fixture.status(&old).await, "offered");
        fixture.cancel(&old).await;
        let plain = fixture.update(1, false).await["update_id"].clone();
        fixture.cancel(&plain).await;
        fixture.set(json!(true)).await;
        let retried = fixture.retry(&plain, json!({})).await;
        assert_eq!(retried["status"], "offered", "it was not forced");
        let retried = fixture.retry(&old, json!({})).await;
        assert_eq!(retried["status"], "waiting_approval");
        let id = retried["update_id"].clone();
        assert!(!fixture.is_shown(0).await);
        let creator = fixture.server.key("olga", Role::Admin).await;
        let refused = fixture.decide(&creator, &id, json!({})).await;
        assert_eq!(refused.expect_problem(403).0, "own_update");
        fixture
            .decide(&fixture.approver, &id, json!({}))
            .await
            .expect(200);
        assert_eq!(fixture.status(&id).await, "offered");

        // It is approved now, and so is its retry, and the retry of that, with the same options.
        fixture.cancel(&id).await;
        let second = fixture.retry(&id, json!({})).await;
        assert_eq!(
            (&second["status"], &second["approval"]["decided_by"]),
            (&json!("offered"), &json!("ada"))
        );
        assert!(fixture.is_shown(0).await);
        let second = second["update_id"].clone();
        fixture.cancel(&second).await;
        let third = fixture.retry(&second, json!({})).await;
        assert_eq!(third["status"], "offered");
        let third = third["update_id"].clone();
        fixture.cancel(&third).await;
        for options in [json!({"max_retries": 3}), json!({"note": "again"})] {
            let changed = fixture.retry(&third, options).await;
            assert_eq!(changed["status"], "waiting_approval");
            let changed = changed["update_id"].clone();
            let reject = json!({"approved": false});
            fixture
                .decide(&fixture.approver, &changed, reject)
                .await
                .expect(200);
        }
    })
    .await;
}

#[tokio::test]
async fn a_forced_rollback_waits_and_another_one_does_not() {
    on_both(async |fixture| {
        let server = &fixture.server;
        let installed = fixture.update(0, false).await["update_id"].clone();
        assert_eq!(fixture.device_statuses(0, &installed).await, (200, 200));
        let (old, other) = (
            server.firmware("1.0.9", b"old").await,
            server.firmware("1.2.0", b"other").await,
        );
        let path = "/api/v1/devices/pi-0/rollback";
        let roll_back = async |body: Value| {
            let created = server.send("POST", path, &fixture.operator, &body).await;
            created.expect(201)
        };
        let plain = roll_back(json!({"target_version": "1.0.9"})).await;
        assert_eq!(
            (&plain["status"], &plain["approval"]),
            (&json!("offered"), &json!(null))
        );
        fixture.cancel(&plain["update_id"]).await;
        let body = json!({"firmware_id": other});
        let update = "/api/v1/devices/pi-0/update";
        let open = server.post(update, &body).await.expect(201)["update_id"].clone();
        let pin = json!({"pinned": true});
        let device = "/api/v1/devices/pi-0";
        server
            .send("PATCH", device, &server.admin, &pin)
            .await
            .expect(200);

        let forced = roll_back(json!({"target_version": "1.0.9", "force": true})).await;
        let id = &forced["update_id"];
        assert_eq!(
            (&forced["status"], &forced["firmware_id"]),
            (&json!("waiting_approval"), &json!(old))
        );
        assert!(!fixture.is_shown(0).await);
        assert_ne!(fixture.status(&open).await, "offered", "it is cancelled");
        let again = json!({"target_version": "1.0.9", "force": true});
        let refused = server.send("POST", path, &fixture.operator, &again).await;
        assert_eq!(refused.expect_problem(409).0, "update_open");
        let creator = server.key("olga", Role::Admin).await;
        let refused = fixture.decide(&creator, id, json!({})).await;
        assert_eq!(refused.expect_problem(403).0, "own_update");
        fixture
            .decide(&fixture.approver, id, json!({}))
            .await
            .expect(200);
        assert_eq!(fixture.status(id).await, "offered", "in spite of the pin");
        fixture.cancel(id).await;

        fixture.set(json!(false)).await;
        let forced = roll_back(json!({"target_version": "1.0.9", "force": true})).await;
        assert_eq!(forced["status"], "offered");
        fixture.cancel(&forced["update_id"]).await;
        fixture.set(json!(true)).await;
        let unpin = json!({"pinned": false});
        server
            .send("PATCH", device, &server.admin, &unpin)
            .await
            .expect(200);
        let retried = fixture.retry(&forced["update_id"], json!({})).await;
        assert_eq!(retried["status"], "waiting_approval");

        // Nor does it wait behind one that waits.
        let plain = roll_back(json!({"target_version": "1.0.9"})).await;
        assert_eq!(plain["status"], "offered");
        assert_eq!(fixture.status(&retried["update_id"]).await, "cancelled");
    })
    .await;
}
