//! Live logs of updates.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::{
    events::Events,
    world::{Answer, World},
};

/// A device with an open update.
struct Busy {
    world: World,
    token: String,
    update: i64,
}

impl Busy {
    async fn new() -> Self {
        let world = World::new().await;
        let device = json!({"device_id": "pi-0"});
        let made = world.post("/api/v1/devices", &device).await.expect(201);
        let mut busy = Self {
            token: made["token"].as_str().expect("a token").to_owned(),
            world,
            update: 0,
        };
        busy.update = busy.offer("1.1.0").await;
        busy
    }

    async fn offer(&self, version: &str) -> i64 {
        let firmware = self.world.firmware(version, b"new").await;
        let wish = json!({"firmware_id": firmware});
        let made = self.world.post("/api/v1/devices/pi-0/update", &wish).await;
        made.expect(201)["update_id"].as_i64().expect("an id")
    }

    async fn device(&self, method: &str, path: &str, kind: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("/default/controller/v1/pi-0{path}"))
            .header("host", "localhost")
            .header("authorization", format!("TargetToken {}", self.token))
            .header("content-type", kind)
            .body(body.into())
            .expect("a request");
        self.world.ask(request).await
    }

    async fn writes(&self, text: &str) {
        let answer = self.device("PUT", "/log", "text/plain", text.to_owned());
        assert_eq!(answer.await.status, 200);
    }

    async fn says(&self, execution: &str, finished: &str, detail: &str) {
        let body = json!({"status": {"execution": execution, "result": {"finished": finished}, "details": [detail]}});
        let path = format!("/deploymentBase/{}/feedback", self.update);
        let answer = self.device("POST", &path, "application/json", body.to_string());
        assert_eq!(answer.await.status, 200);
    }

    async fn texts(&self, query: &str) -> Vec<String> {
        let path = format!("/api/v1/updates/{}/log{query}", self.update);
        let log = self.world.get(&path).await.expect(200);
        let lines = log["lines"].as_array().cloned().unwrap_or_default();
        lines.iter().map(text).collect()
    }
}

fn text(line: &Value) -> String {
    line["text"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_refusal_without_words_is_seen() {
    let busy = Busy::new().await;
    let shown = format!("/api/v1/updates/{}", busy.update);
    let before = busy.world.get(&shown).await.expect(200);
    assert_eq!(
        (&before["phase"], &before["code"]),
        (&json!(null), &json!(null))
    );
    let body =
        json!({"status": {"execution": "rejected", "result": {"finished": "none"}, "code": 42}});
    let path = format!("/deploymentBase/{}/feedback", busy.update);
    let answer = busy.device("POST", &path, "application/json", body.to_string());
    assert_eq!(answer.await.status, 200);
    let after = busy.world.get(&shown).await.expect(200);
    assert_eq!(
        (&after["phase"], &after["code"]),
        (&json!("rejected"), &json!(42))
    );
    assert_eq!(after["status"], before["status"]);
    assert_eq!(busy.texts("").await, ["rejected, code 42"]);
    let mut events = Events::at(&busy.world, &format!("{shown}/log"), None).await;
    let (_, _, update) = events.next().await.expect("an event");
    assert_eq!(update["phase"], "rejected");
    let (_, _, line) = events.next().await.expect("an event");
    assert_eq!(text(&line), "rejected, code 42");
}

#[tokio::test]
async fn what_a_device_writes_is_kept_in_order() {
    let busy = Busy::new().await;
    busy.says("proceeding", "none", "begins").await;
    busy.writes("erasing\r\nwriting\n\n").await;
    busy.says("proceeding", "none", "restarts").await;
    assert_eq!(
        busy.texts("").await,
        ["begins", "erasing", "writing", "restarts"]
    );
    assert_eq!(busy.texts("?limit=2").await, ["writing", "restarts"]);
    assert_eq!(busy.texts("?after=1&limit=2").await, ["erasing", "writing"]);
    let log = busy.world.get("/api/v1/devices/pi-0/log").await.expect(200);
    assert_eq!(log["lines"][1]["source"], "device");
    assert_eq!(
        (&log["lines"][3]["number"], &log["dropped_lines"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(log["count"], 2, "two feedbacks");

    let reason = json!({"reason": "not today"});
    let path = format!("/api/v1/updates/{}/cancel", busy.update);
    busy.world.post(&path, &reason).await.expect(200);
    let said = busy.texts("?after=4").await;
    assert!(
        said[0].starts_with("called back by ") && said[0].ends_with(": not today"),
        "{said:?}"
    );
    busy.world.get("/api/v1/updates/999/log").await.refused(404);
}

#[tokio::test]
async fn a_log_that_cannot_be_kept_is_refused() {
    let busy = Busy::new().await;
    for (kind, body, status) in [
        ("application/json", "{}".to_owned(), 415),
        ("text/plain", "x".repeat((64 << 10) + 1), 413),
        ("text/plain; charset=utf-8", "x".repeat(64 << 10), 200),
    ] {
        assert_eq!(busy.device("PUT", "/log", kind, body).await.status, status);
    }
    busy.says("closed", "success", "done").await;
    assert_eq!(
        busy.device("PUT", "/log", "text/plain", "late")
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
    assert_eq!(busy.world.ask(stranger).await.status, 401);
}

#[tokio::test]
async fn a_log_is_followed_to_the_end_of_its_update() {
    let busy = Busy::new().await;
    let path = format!("/api/v1/updates/{}/log", busy.update);
    let mut events = Events::at(&busy.world, &path, None).await;
    let (name, _, update) = events.next().await.expect("an event");
    assert_eq!((&*name, &update["status"]), ("update", &json!("offered")));
    busy.writes("one\ntwo").await;
    for expected in ["one", "two"] {
        let (name, _, line) = events.next().await.expect("an event");
        assert_eq!((&*name, &*text(&line)), ("line", expected));
    }
    busy.says("closed", "failure", "three").await;
    let (_, id, line) = events.next().await.expect("an event");
    assert_eq!(
        (&*id, &*text(&line)),
        (&*format!("{}:3", busy.update), "three")
    );
    let (name, _, update) = events.next().await.expect("an event");
    assert_eq!((&*name, &update["status"]), ("end", &json!("failed")));
    assert!(events.next().await.is_none());

    let last = format!("{}:2", busy.update);
    let mut events = Events::at(&busy.world, &path, Some(&last)).await;
    assert_eq!(text(&events.next().await.expect("an event").2), "three");
}

#[tokio::test]
async fn a_device_is_followed_from_one_update_to_the_next() {
    let mut busy = Busy::new().await;
    let mut events = Events::at(&busy.world, "/api/v1/devices/pi-0/log", None).await;
    assert_eq!(events.next().await.expect("an event").0, "update");
    busy.says("closed", "success", "done").await;
    assert_eq!(text(&events.next().await.expect("an event").2), "done");
    let first = busy.update;
    busy.update = busy.offer("1.2.0").await;
    busy.writes("again").await;
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
        ("update", &json!(busy.update))
    );
    assert_eq!((&*seen[2].0, &*text(&seen[2].1)), ("line", "again"));
}

#[tokio::test]
async fn an_update_that_failed_is_tried_again() {
    let mut busy = Busy::new().await;
    let retry = |update: i64| format!("/api/v1/updates/{update}/retry");
    let open = busy.world.post(&retry(busy.update), &json!({})).await;
    assert_eq!(open.refused(409).0, "nothing_to_retry");
    busy.says("closed", "failure", "flash worn out").await;
    let failed = busy.update;
    let made = busy.world.post(&retry(failed), &json!({})).await;
    let again = made.expect(201);
    busy.update = again["update_id"].as_i64().expect("an id");
    assert_ne!(
        busy.update, failed,
        "the device would take the same one for the one that failed"
    );
    assert_eq!(
        (&again["status"], &again["to_version"]),
        (&json!("offered"), &json!("1.1.0"))
    );
    let twice = busy.world.post(&retry(failed), &json!({})).await;
    assert_eq!(twice.refused(409).0, "update_open");
    busy.says("closed", "success", "done").await;
    let done = busy.world.post(&retry(busy.update), &json!({})).await;
    assert_eq!(done.refused(409).0, "nothing_to_retry");

    let history = busy
        .world
        .get("/api/v1/devices/pi-0/updates?limit=1")
        .await
        .expect(200);
    assert_eq!(
        (&history["total"], &history["count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(history["items"][0]["update_id"], busy.update);
    assert_eq!(
        (
            &history["totals"]["completed"],
            &history["totals"]["failed"]
        ),
        (&json!(1), &json!(1))
    );
    assert_eq!(history["success_rate"], 50.0);
}
