//! Live logs of updates.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::{
    events::Events,
    test_server::{TestResponse, TestServer},
};

/// A device with an open update.
struct DeviceWithUpdate {
    server: TestServer,
    token: String,
    update: i64,
}

impl DeviceWithUpdate {
    async fn new() -> Self {
        let server = TestServer::new().await;
        let device = json!({"device_id": "pi-0"});
        let created = server.post("/api/v1/devices", &device).await.expect(201);
        let mut fixture = Self {
            token: created["token"].as_str().expect("a token").to_owned(),
            server,
            update: 0,
        };
        fixture.update = fixture.offer("1.1.0").await;
        fixture
    }

    async fn offer(&self, version: &str) -> i64 {
        let firmware = self.server.firmware(version, b"new").await;
        let payload = json!({"firmware_id": firmware});
        let created = self
            .server
            .post("/api/v1/devices/pi-0/update", &payload)
            .await;
        created.expect(201)["update_id"].as_i64().expect("an id")
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        kind: &str,
        body: impl Into<Body>,
    ) -> TestResponse {
        let request = Request::builder()
            .method(method)
            .uri(format!("/default/controller/v1/pi-0{path}"))
            .header("host", "localhost")
            .header("authorization", format!("TargetToken {}", self.token))
            .header("content-type", kind)
            .body(body.into())
            .expect("a request");
        self.server.send_request(request).await
    }

    async fn write_log(&self, text: &str) {
        let response = self.send("PUT", "/log", "text/plain", text.to_owned());
        assert_eq!(response.await.status, 200);
    }

    async fn report(&self, execution: &str, finished: &str, detail: &str) {
        let body = json!({"status": {"execution": execution, "result": {"finished": finished}, "details": [detail]}});
        let path = format!("/deploymentBase/{}/feedback", self.update);
        let response = self.send("POST", &path, "application/json", body.to_string());
        assert_eq!(response.await.status, 200);
    }

    async fn log_texts(&self, query: &str) -> Vec<String> {
        let path = format!("/api/v1/updates/{}/log{query}", self.update);
        let log = self.server.get(&path).await.expect(200);
        let lines = log["lines"].as_array().cloned().unwrap_or_default();
        lines.iter().map(text).collect()
    }
}

fn text(line: &Value) -> String {
    line["text"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_rejection_without_details_is_logged() {
    let fixture = DeviceWithUpdate::new().await;
    let shown = format!("/api/v1/updates/{}", fixture.update);
    let before = fixture.server.get(&shown).await.expect(200);
    assert_eq!(
        (&before["phase"], &before["code"]),
        (&json!(null), &json!(null))
    );
    let body =
        json!({"status": {"execution": "rejected", "result": {"finished": "none"}, "code": 42}});
    let path = format!("/deploymentBase/{}/feedback", fixture.update);
    let response = fixture.send("POST", &path, "application/json", body.to_string());
    assert_eq!(response.await.status, 200);
    let after = fixture.server.get(&shown).await.expect(200);
    assert_eq!(
        (&after["phase"], &after["code"]),
        (&json!("rejected"), &json!(42))
    );
    assert_eq!(after["status"], before["status"]);
    assert_eq!(fixture.log_texts("").await, ["rejected, code 42"]);
    let mut events = Events::at(&fixture.server, &format!("{shown}/log"), None).await;
    let (_, _, update) = events.next().await.expect("an event");
    assert_eq!(update["phase"], "rejected");
    let (_, _, line) = events.next().await.expect("an event");
    assert_eq!(text(&line), "rejected, code 42");
}

#[tokio::test]
async fn device_log_lines_are_kept_in_order() {
    let fixture = DeviceWithUpdate::new().await;
    fixture.report("proceeding", "none", "begins").await;
    fixture.write_log("erasing\r\nwriting\n\n").await;
    fixture.report("proceeding", "none", "restarts").await;
    assert_eq!(
        fixture.log_texts("").await,
        ["begins", "erasing", "writing", "restarts"]
    );
    assert_eq!(fixture.log_texts("?limit=2").await, ["writing", "restarts"]);
    assert_eq!(
        fixture.log_texts("?after=1&limit=2").await,
        ["erasing", "writing"]
    );
    let log = fixture
        .server
        .get("/api/v1/devices/pi-0/log")
        .await
        .expect(200);
    assert_eq!(log["lines"][1]["source"], "device");
    assert_eq!(
        (&log["lines"][3]["number"], &log["dropped_lines"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(log["count"], 2, "two feedbacks");

    let reason = json!({"reason": "not today"});
    let path = format!("/api/v1/updates/{}/cancel", fixture.update);
    fixture.server.post(&path, &reason).await.expect(200);
    let lines = fixture.log_texts("?after=4").await;
    assert!(
        lines[0].starts_with("cancelled by ") && lines[0].ends_with(": not today"),
        "{lines:?}"
    );
    fixture
        .server
        .get("/api/v1/updates/999/log")
        .await
        .expect_problem(404);
}

#[tokio::test]
async fn an_invalid_log_is_refused() {
    let fixture = DeviceWithUpdate::new().await;
    for (kind, body, status) in [
        ("application/json", "{}".to_owned(), 415),
        ("text/plain", "x".repeat((64 << 10) + 1), 413),
        ("text/plain; charset=utf-8", "x".repeat(64 << 10), 200),
    ] {
        assert_eq!(fixture.send("PUT", "/log", kind, body).await.status, status);
    }
    fixture.report("closed", "success", "done").await;
    assert_eq!(
        fixture
            .send("PUT", "/log", "text/plain", "late")
            .await
            .status,
        404
    );
    let mut stranger = Request::builder()
        .method("PUT")
        .uri("/default/controller/v1/pi-0/log");
    stranger = stranger
        .header("host", "localhost")
        .header("content-type", "text/plain");
    let stranger = stranger.body(Body::from("x")).expect("a request");
    assert_eq!(fixture.server.send_request(stranger).await.status, 401);
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_its_update() {
    let fixture = DeviceWithUpdate::new().await;
    let path = format!("/api/v1/updates/{}/log", fixture.update);
    let mut events = Events::at(&fixture.server, &path, None).await;
    let (name, _, update) = events.next().await.expect("an event");
    assert_eq!((&*name, &update["status"]), ("update", &json!("offered")));
    fixture.write_log("one\ntwo").await;
    for expected in ["one", "two"] {
        let (name, _, line) = events.next().await.expect("an event");
        assert_eq!((&*name, &*text(&line)), ("line", expected));
    }
    fixture.report("closed", "failure", "three").await;
    let (_, id, line) = events.next().await.expect("an event");
    assert_eq!(
        (&*id, &*text(&line)),
        (&*format!("{}:3", fixture.update), "three")
    );
    let (name, _, update) = events.next().await.expect("an event");
    assert_eq!((&*name, &update["status"]), ("end", &json!("failed")));
    assert!(events.next().await.is_none());

    let last = format!("{}:2", fixture.update);
    let mut events = Events::at(&fixture.server, &path, Some(&last)).await;
    assert_eq!(text(&events.next().await.expect("an event").2), "three");
}

#[tokio::test]
async fn a_device_is_followed_from_one_update_to_the_next() {
    let mut fixture = DeviceWithUpdate::new().await;
    let mut events = Events::at(&fixture.server, "/api/v1/devices/pi-0/log", None).await;
    assert_eq!(events.next().await.expect("an event").0, "update");
    fixture.report("closed", "success", "done").await;
    assert_eq!(text(&events.next().await.expect("an event").2), "done");
    let first = fixture.update;
    fixture.update = fixture.offer("1.2.0").await;
    fixture.write_log("again").await;
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let (name, _, body) = events.next().await.expect("an event");
        seen.push((name, body));
    }
    assert_eq!(
        (&*seen[0].0, &seen[0].1["update_id"]),
        ("end", &json!(first))
    );
    assert_eq!(
        (&*seen[1].0, &seen[1].1["update_id"]),
        ("update", &json!(fixture.update))
    );
    assert_eq!((&*seen[2].0, &*text(&seen[2].1)), ("line", "again"));
}

#[tokio::test]
async fn a_failed_update_is_retried() {
    let mut fixture = DeviceWithUpdate::new().await;
    let retry = |update: i64| format!("/api/v1/updates/{update}/retry");
    let open = fixture
        .server
        .post(&retry(fixture.update), &json!({}))
        .await;
    assert_eq!(open.expect_problem(409).0, "nothing_to_retry");
    fixture.report("closed", "failure", "flash worn out").await;
    let failed = fixture.update;
    let created = fixture.server.post(&retry(failed), &json!({})).await;
    let again = created.expect(201);
    fixture.update = again["update_id"].as_i64().expect("an id");
    assert_ne!(
        fixture.update, failed,
        "devices ignore an update id that failed"
    );
    assert_eq!(
        (&again["status"], &again["to_version"]),
        (&json!("offered"), &json!("1.1.0"))
    );
    let twice = fixture.server.post(&retry(failed), &json!({})).await;
    assert_eq!(twice.expect_problem(409).0, "update_open");
    fixture.report("closed", "success", "done").await;
    let done = fixture
        .server
        .post(&retry(fixture.update), &json!({}))
        .await;
    assert_eq!(done.expect_problem(409).0, "nothing_to_retry");

    let history = fixture
        .server
        .get("/api/v1/devices/pi-0/updates?limit=1")
        .await
        .expect(200);
    assert_eq!(
        (&history["total"], &history["count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(history["items"][0]["update_id"], fixture.update);
    assert_eq!(
        (
            &history["totals"]["completed"],
            &history["totals"]["failed"]
        ),
        (&json!(1), &json!(1))
    );
    assert_eq!(history["success_rate"], 50.0);
}
