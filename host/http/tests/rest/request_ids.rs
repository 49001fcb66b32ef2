use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_captured_log::CapturedLog;
use tracing::Level;

use crate::test_server::{TestResponse, TestServer};

async fn send(server: &TestServer, method: &str, path: &str, ids: &[&str]) -> TestResponse {
    let mut request = Request::builder().method(method).uri(path);
    for id in ids {
        request = request.header("x-request-id", *id);
    }
    let request = request.body(Body::empty()).expect("a request");
    server.send_request(request).await
}

fn id(response: &TestResponse) -> &str {
    response.headers["x-request-id"].to_str().expect("ASCII")
}

#[tokio::test]
async fn every_response_has_a_request_id() {
    let server = TestServer::new().await;
    let mut made = BTreeSet::new();
    for (method, path, status) in [
        ("GET", "/health", 200),
        ("GET", "/readyz", 200),
        ("GET", "/version", 200),
        ("GET", "/metrics", 200),
        ("POST", "/metrics", 405),
        ("GET", "/api/v1/openapi.json", 200),
        ("GET", "/api/v1/devices", 401),
        ("DELETE", "/api/v1/devices", 405),
        ("GET", "/nowhere", 404),
        ("GET", "/default/controller/v1/pi-1", 401),
        ("GET", "/default/controller/v1/pi-1/nowhere", 404),
    ] {
        let response = send(&server, method, path, &["edge~1"]).await;
        assert_eq!(response.status, status, "{path}");
        assert_eq!(id(&response), "edge~1", "{path}");
        for ids in [
            &[][..],
            &[""],
            &["two words"],
            &["a", "b"],
            &[&"x".repeat(129)],
        ] {
            let response = send(&server, method, path, ids).await;
            let id = id(&response).to_owned();
            assert_eq!(id.len(), 32, "{id}");
            assert!(made.insert(id), "{path}: an id is made once");
        }
    }
}

#[tokio::test]
async fn a_problem_has_the_id_of_its_request() {
    let server = TestServer::new().await;
    for (method, path) in [
        ("GET", "/nowhere"),
        ("POST", "/health"),
        ("GET", "/api/v1/devices"),
        ("GET", "/api/v1/nowhere"),
        ("PATCH", "/api/v1/devices"),
    ] {
        let response = send(&server, method, path, &["edge-1"]).await;
        let problem: Value = serde_json::from_slice(&response.bytes).expect("JSON");
        assert_eq!(problem["request_id"], "edge-1", "{path}");
        if let Some(length) = response.headers.get("content-length") {
            assert_eq!(length, &response.bytes.len().to_string());
        }
    }
    let response = send(&server, "HEAD", "/nowhere", &["edge-1"]).await;
    assert_eq!((response.status, response.bytes.len()), (404, 0));
}

#[tokio::test]
async fn a_timeout_has_the_id_of_its_request() {
    let server = TestServer::with(|settings| settings.request_timeout = Duration::ZERO).await;
    let silence = Body::from_stream(futures::stream::pending::<std::io::Result<bytes::Bytes>>());
    let request = Request::post("/api/v1/devices")
        .header("x-api-key", &server.admin)
        .header("content-type", "application/json")
        .header("x-request-id", "slow-1");
    let refused = server
        .send_request(request.body(silence).expect("a request"))
        .await;
    let problem: Value = serde_json::from_slice(&refused.bytes).expect("JSON");
    assert_eq!(problem["code"], "too_slow");
    assert_eq!(problem["request_id"], "slow-1");
}

#[tokio::test]
async fn a_log_line_has_the_id_of_its_request() {
    let server = TestServer::new().await;
    let health = server.state.engine.health();
    drop(health.register_loop("broken", Duration::MAX));
    let log = CapturedLog::start();
    let response = send(&server, "GET", "/readyz", &["probe-1"]).await;
    assert_eq!(response.status, 503);
    let [line] = &log.events("not ready")[..] else {
        panic!("one line is expected");
    };
    assert_eq!(line["span"]["request_id"], "probe-1");
    assert_eq!(line["span"]["route"], "/readyz");
}

#[tokio::test]
async fn a_log_line_has_the_id_of_its_request_at_every_level() {
    let server = TestServer::new().await;
    let health = server.state.engine.health();
    drop(health.register_loop("broken", Duration::MAX));
    let log = CapturedLog::start_at(Level::WARN);
    send(&server, "GET", "/readyz", &["probe-1"]).await;
    let lines = log.events("not ready");
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["span"]["request_id"], "probe-1");
}

#[tokio::test]
async fn the_span_of_a_device_request_can_have_all_fields() {
    let server = TestServer::with(|settings| settings.detailed_device_spans = true).await;
    let log = CapturedLog::start();
    send(&server, "GET", "/default/controller/v1/pi-1", &["poll-1"]).await;
    let spans = log.ended_spans("request", 1).await;
    assert_eq!(
        spans,
        [
            json!({"name": "request", "request_id": "poll-1", "method": "GET",
            "route": "/{tenant}/controller/v1/{device}", "status": 401})
        ]
    );
}

#[tokio::test]
async fn the_span_of_a_request_has_its_route_status_and_caller() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "pi-1"});
    server.post("/api/v1/devices", &device).await.expect(201);
    let log = CapturedLog::start();
    server.get("/api/v1/devices/pi-1").await.expect(200);
    log.ended_spans("request", 1).await;
    server
        .get("/api/v1/devices/absent")
        .await
        .expect_problem(404);
    log.ended_spans("request", 2).await;
    send(&server, "GET", "/default/controller/v1/pi-1", &["poll-1"]).await;
    let mut spans = log.ended_spans("request", 3).await;
    for span in &mut spans[..2] {
        let id = span["request_id"].take();
        assert_eq!(id.as_str().map(str::len), Some(32), "{id}");
    }
    let tenant = server.tenant.id.to_string();
    let route = "/api/v1/devices/{device_id}";
    assert_eq!(
        spans,
        [
            json!({"name": "request", "method": "GET", "route": route, "status": 200, "tenant": tenant, "actor": "admin",
                "request_id": null}),
            json!({"name": "request", "method": "GET", "route": route, "status": 404, "tenant": tenant, "actor": "admin",
                "request_id": null}),
            // Without `detailed_device_spans`.
            json!({"name": "request", "request_id": "poll-1"}),
        ]
    );
}
