use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_captured_log::CapturedLog;
use tower::ServiceExt as _;

use crate::test_server::{TestServer, request};

/// The line without what differs in every run.
fn stable(mut line: Value) -> Value {
    let fields = line.as_object_mut().expect("an object");
    for field in ["timestamp", "duration_ms"] {
        assert!(fields.remove(field).is_some(), "{field}");
    }
    line
}

#[tokio::test]
async fn the_access_log_has_one_line_for_each_answered_request() {
    let server = TestServer::with(|settings| settings.access_log = true).await;
    let device = json!({"device_id": "pi-1"});
    server.post("/api/v1/devices", &device).await.expect(201);
    let tenant = server.tenant.id.to_string();
    let log = CapturedLog::start();

    let read = Request::get("/api/v1/devices/pi-1/updates?limit=7")
        .header("x-api-key", &server.admin)
        .header("x-request-id", "read-1");
    let read = read.body(Body::empty()).expect("a request");
    let read = server.send_request(read).await;
    let unauthenticated =
        Request::get("/default/controller/v1/pi-1").header("x-request-id", "poll-1");
    let unauthenticated = unauthenticated.body(Body::empty()).expect("a request");
    server.send_request(unauthenticated).await;

    let lines: Vec<_> = log.events("request").into_iter().map(stable).collect();
    assert_eq!(
        lines,
        [
            json!({
                "level": "INFO", "target": "tidegate::access", "message": "request", "method": "GET",
                "route": "/api/v1/devices/{device_id}/updates", "path": "/api/v1/devices/pi-1/updates", "status": 200,
                "bytes": read.bytes.len(), "tenant": tenant, "actor": "admin", "request_id": "read-1",
            }),
            json!({
                "level": "INFO", "target": "tidegate::access", "message": "request", "method": "GET",
                "route": "/{tenant}/controller/v1/{device}", "path": "/default/controller/v1/pi-1", "status": 401,
                "bytes": 0, "request_id": "poll-1",
            }),
        ]
    );
}

/// Its task goes on at the first point at which it waits, whatever it was doing there.
#[tokio::test]
async fn a_change_whose_client_disconnects_is_made_logged_and_counted() {
    let server = TestServer::with(|settings| settings.access_log = true).await;
    server.fleet(1).await;
    let path = server.campaign(json!({})).await;
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    let log = CapturedLog::start();

    let cancel = request("POST", &format!("{path}/cancel"), &server.admin)
        .header("content-type", "application/json")
        .header("x-request-id", "gone-1")
        .body(Body::from("{}"));
    let mut responding = Box::pin(server.router.clone().oneshot(cancel.expect("a request")));
    assert!(futures::poll!(&mut responding).is_pending());
    drop(responding);
    let is_logged = async {
        while log.events("request").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let is_logged = tokio::time::timeout(Duration::from_secs(30), is_logged).await;
    is_logged.expect("the request is logged");

    let lines = log.events("request");
    assert_eq!(
        (lines.len(), &lines[0]["status"], &lines[0]["request_id"]),
        (1, &json!(200), &json!("gone-1"))
    );
    assert_eq!(
        (&lines[0]["actor"], &lines[0]["bytes"]),
        (&json!("admin"), &json!(0))
    );
    assert_eq!(server.get(&path).await.expect(200)["status"], "cancelled");
    let metrics = server.get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.bytes);
    let counted = "tidegate_http_requests_total{method=\"POST\",route=\"/api/v1/campaigns/{campaign_id}/cancel\",\
                   status=\"200\"} 1";
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn the_access_log_is_off_by_default() {
    let server = TestServer::new().await;
    let log = CapturedLog::start();
    server.get("/api/v1/devices").await.expect(200);
    assert_eq!(log.ended_spans("request", 1).await.len(), 1);
    assert_eq!(log.events("request"), [] as [Value; 0]);
}
