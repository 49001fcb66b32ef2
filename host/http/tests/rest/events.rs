//! Server-Sent Events.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt as _;
use http::request::Builder;
use serde_json::{Value, json};
use tidegate_engine::Role;
use tower::ServiceExt as _;

use crate::test_server::{TestServer, request};

/// An event stream, read one event at a time.
pub(crate) struct Events {
    body: axum::body::BodyDataStream,
    text: String,
}

impl Events {
    async fn of(server: &TestServer, path: &str, last: Option<i64>) -> Self {
        let last = last.map(|last| last.to_string());
        Self::at(server, &format!("{path}/events"), last.as_deref()).await
    }

    /// Opens the event stream at this path.
    pub(crate) async fn at(server: &TestServer, path: &str, last: Option<&str>) -> Self {
        let mut request = request("GET", path, &server.admin);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        Self::open(server, request).await
    }

    pub(crate) async fn open(server: &TestServer, request: Builder) -> Self {
        let request = request.header("accept", "text/event-stream");
        let request = request.body(Body::empty()).expect("a request");
        let response = server
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.headers()["x-content-type-options"], "nosniff");
        Self {
            body: response.into_body().into_data_stream(),
            text: String::new(),
        }
    }

    /// The next event: name, id and data. `None`: the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<(String, String, Value)> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let event: String = self.text.drain(..end + 2).collect();
                let field = |name: &str| {
                    let line = event.lines().find_map(|line| line.strip_prefix(name));
                    line.map(|value| value.trim_start_matches(": ").to_owned())
                        .unwrap_or_default()
                };
                let (name, id, data) = (field("event"), field("id"), field("data"));
                if name.is_empty() {
                    continue;
                }
                return Some((name, id, serde_json::from_str(&data).expect("JSON")));
            }
            let waited = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await;
            let chunk = waited.expect("an event in time")?.expect("a whole body");
            self.text.push_str(&String::from_utf8_lossy(&chunk));
        }
    }
}

#[tokio::test]
async fn a_campaign_is_followed_as_it_goes() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path = server.campaign(json!({"allow_incompatible": true})).await;
    let mut events = Events::of(&server, &path, None).await;
    let (name, id, campaign) = events.next().await.expect("an event");
    assert_eq!(
        (&*name, &*id, &campaign["status"]),
        ("campaign", "0", &json!("created"))
    );

    server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
    let (name, id, entry) = events.next().await.expect("an event");
    assert_eq!(
        (&*name, &*id, &entry["kind"]),
        ("decision", "1", &json!("plan"))
    );
    let (name, id, campaign) = events.next().await.expect("an event");
    assert_eq!(
        (&*name, &*id, &campaign["status"]),
        ("campaign", "1", &json!("in_progress"))
    );
    assert_eq!(campaign, server.get(&path).await.expect(200));

    let mut later = Events::of(&server, &path, Some(0)).await;
    assert_eq!(later.next().await.expect("an event").0, "decision");
    let mut later = Events::of(&server, &path, Some(1)).await;
    assert_eq!(later.next().await.expect("an event").0, "campaign");

    server.state.shutdown.cancel();
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn event_streams_are_limited_per_tenant() {
    let server = TestServer::with(|settings| settings.limits.event_streams = 1).await;
    server.fleet(1).await;
    let campaign = server.campaign(json!({})).await;
    let first = Events::of(&server, &campaign, None).await;
    let refused = server.get(&format!("{campaign}/events")).await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.expect_problem(429).0, "too_many_streams");
    drop(first);
    let log = Events::at(&server, "/api/v1/devices/pi-0/log", None).await;
    let refused = server
        .get(&format!("{campaign}/events"))
        .await
        .expect_problem(429);
    assert_eq!(refused.0, "too_many_streams");
    drop(log);
    Events::of(&server, &campaign, None).await;
    // A refused stream takes no permit.
    server
        .get("/api/v1/campaigns/4711/events")
        .await
        .expect_problem(404);
    Events::of(&server, &campaign, None).await;
}

#[tokio::test]
async fn one_key_cannot_take_all_streams_of_its_tenant() {
    let server = TestServer::with(|settings| settings.limits.event_streams = 4).await;
    server.fleet(1).await;
    let campaign = server.campaign(json!({})).await;
    let key = server.key("viewer", Role::Viewer).await;
    let path = format!("{campaign}/events");
    let open = || Events::open(&server, request("GET", &path, &key));
    let held = [open().await, open().await];
    let refused = server.send("GET", &path, &key, &json!(null)).await;
    assert_eq!(refused.headers["retry-after"], "1");
    assert_eq!(refused.expect_problem(429).0, "too_many_streams");
    let _others = [
        Events::of(&server, &campaign, None).await,
        Events::of(&server, &campaign, None).await,
    ];
    drop(held);
    open().await;
}
