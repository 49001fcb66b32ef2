//! `Idempotency-Key`: repeated requests are executed once.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use futures::{
    StreamExt as _,
    channel::{mpsc, oneshot},
    future::join_all,
    stream,
};
use http::Request;
use serde_json::{Value, json};
use tidegate_engine::{Role, tenants};
use tokio::time::timeout;

use crate::test_server::{TestResponse, TestServer, request};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

fn post(path: &str, api_key: &str, key: &str, body: &Value) -> Request<Body> {
    let request = request("POST", path, api_key)
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    request
        .body(Body::from(body.to_string()))
        .expect("a request")
}

/// Sends as the first admin.
async fn send(server: &TestServer, path: &str, key: &str, body: &Value) -> TestResponse {
    server
        .send_request(post(path, &server.admin, key, body))
        .await
}

#[track_caller]
fn is_replayed(response: &TestResponse) -> bool {
    let header = response.headers.get("idempotent-replayed");
    header.is_some_and(|value| value == "true")
}

async fn devices(server: &TestServer) -> Value {
    server.get("/api/v1/devices").await.expect(200)["total"].clone()
}

#[tokio::test]
async fn a_repeated_request_is_executed_once() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "pi-1"});
    let first = send(&server, "/api/v1/devices", KEY, &device).await;
    let created = first.expect(201);
    assert!(created["token"].is_string() && !is_replayed(&first));
    let quoted = format!("\"{KEY}\"");
    for key in [KEY, &quoted] {
        let again = send(&server, "/api/v1/devices", key, &device).await;
        assert_eq!(again.expect(201), created);
        assert!(is_replayed(&again));
        for name in ["location", "content-type", "cache-control"] {
            assert_eq!(again.headers.get(name), first.headers.get(name), "{name}");
        }
    }
    assert_eq!(devices(&server).await, 1);
    // Without a key, or with another one, it is another request.
    let without = server.post("/api/v1/devices", &device).await;
    assert_eq!(without.expect_problem(409).0, "device_exists");
    let other = send(&server, "/api/v1/devices", "other", &device).await;
    assert_eq!(other.expect_problem(409).0, "device_exists");
}

#[tokio::test]
async fn a_response_is_stored_for_a_day() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "pi-1"});
    send(&server, "/api/v1/devices", KEY, &device)
        .await
        .expect(201);
    server.clock.advance_seconds(24 * 3600 - 1);
    let again = send(&server, "/api/v1/devices", KEY, &device).await;
    again.expect(201);
    assert!(is_replayed(&again));
    server.clock.advance_seconds(1);
    let late = send(&server, "/api/v1/devices", KEY, &device).await;
    assert_eq!(late.expect_problem(409).0, "device_exists");
}

#[tokio::test]
async fn a_key_is_bound_to_one_request() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "pi-1"});
    send(&server, "/api/v1/devices", KEY, &device)
        .await
        .expect(201);
    for (path, body) in [
        ("/api/v1/devices", json!({"device_id": "pi-2"})),
        ("/api/v1/gateways", json!({"name": "hall"})),
        ("/api/v1/devices/pi-1/token", device.clone()),
    ] {
        let (code, fields) = send(&server, path, KEY, &body).await.expect_problem(422);
        assert_eq!(
            (&*code, fields),
            ("idempotency_key_reused", vec!["Idempotency-Key".to_owned()]),
            "{path}"
        );
    }
    assert_eq!(devices(&server).await, 1);
    assert_eq!(server.get("/api/v1/gateways").await.expect(200)["count"], 0);
}

#[tokio::test]
async fn keys_are_scoped_to_tenant_user_and_role() {
    let server = TestServer::new().await;
    let other = tenants::create(&server.server_ctx(), server.state.engine.store(), "other")
        .await
        .expect("a tenant");
    let senders = [
        server.admin.clone(),
        server.key("creator", Role::Admin).await,
        server.key_of(&other, "admin", Role::Admin).await,
    ];
    for (n, sender) in senders.iter().enumerate() {
        let gateway = json!({"name": format!("hall {}", n % 2)});
        let path = "/api/v1/gateways";
        let created = server.send_request(post(path, sender, KEY, &gateway)).await;
        created.expect(201);
        assert!(!is_replayed(&created));
    }
    // The same user with a lower role does not see the response.
    let viewer = server.key("admin", Role::Viewer).await;
    let gateway = json!({"name": "hall 0"});
    let seen = server
        .send_request(post("/api/v1/gateways", &viewer, KEY, &gateway))
        .await;
    assert_eq!(seen.expect_problem(403).0, "role_missing");
}

#[tokio::test]
async fn a_refused_request_may_be_corrected() {
    let server = TestServer::new().await;
    for (body, code) in [
        (json!({"device_id": "a b"}), "invalid_device"),
        (json!({"device_id": 7}), "wrong_type"),
        (json!({"device_id": "pi-1", "x": 1}), "unknown_field"),
    ] {
        let refused = send(&server, "/api/v1/devices", KEY, &body).await;
        assert_eq!(refused.expect_problem(422).0, code);
    }
    let device = json!({"device_id": "pi-1"});
    let created = send(&server, "/api/v1/devices", KEY, &device).await;
    created.expect(201);
    assert!(!is_replayed(&created));
}

#[tokio::test]
async fn malformed_keys_are_refused() {
    let server = TestServer::with(|settings| settings.max_json_bytes = 1000).await;
    let device = json!({"device_id": "pi-1"});
    let longest = "k".repeat(256);
    for key in ["", "a b", "\"a", &longest] {
        let refused = send(&server, "/api/v1/devices", key, &device).await;
        assert_eq!(
            refused.expect_problem(400).0,
            "invalid_idempotency_key",
            "{key}"
        );
    }
    let mut twice = post("/api/v1/devices", &server.admin, KEY, &device);
    twice
        .headers_mut()
        .append("idempotency-key", KEY.parse().expect("a value"));
    let refused = server.send_request(twice).await.expect_problem(400);
    assert_eq!(refused.0, "invalid_idempotency_key");
    let unauthenticated = server
        .send_request(post("/api/v1/devices", "", "a b", &device))
        .await;
    unauthenticated.expect_problem(401);
    let large = json!({"device_id": "x".repeat(1000)});
    let large = send(&server, "/api/v1/devices", KEY, &large).await;
    assert_eq!(large.expect_problem(413).0, "too_large");
    assert_eq!(devices(&server).await, 0);

    let reading = request("GET", "/api/v1/devices", &server.admin).header("idempotency-key", "a b");
    let reading = reading.body(Body::empty()).expect("a request");
    server.send_request(reading).await.expect(200);
}

#[tokio::test]
async fn a_request_with_a_key_counts_once_against_the_limit() {
    let server = TestServer::with(|settings| settings.limits.tenant_writes_per_second = 2).await;
    let device = json!({"device_id": "pi-1"});
    for _ in 0..2 {
        send(&server, "/api/v1/devices", KEY, &device)
            .await
            .expect(201);
    }
    send(&server, "/api/v1/devices", KEY, &device)
        .await
        .expect_problem(429);
}

#[tokio::test]
async fn of_concurrent_requests_one_is_executed() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "pi-1"});
    let sent = (0..8).map(|_| send(&server, "/api/v1/devices", KEY, &device));
    let mut created = Vec::new();
    for response in join_all(sent).await {
        if response.status == 409 {
            assert_eq!(response.expect_problem(409).0, "request_in_progress");
            assert_eq!(response.headers["retry-after"], "1");
        } else {
            created.push(response.expect(201));
        }
    }
    let again = send(&server, "/api/v1/devices", KEY, &device).await;
    created.push(again.expect(201));
    assert!(created.iter().all(|one| *one == created[0]), "{created:?}");
    assert_eq!(devices(&server).await, 1);
}

/// An upload of a firmware with a key, with a streamed body.
fn upload(server: &TestServer, boundary: &str, body: Body) -> Request<Body> {
    let content_type = format!("multipart/form-data; boundary={boundary}");
    request("POST", "/api/v1/firmware", &server.admin)
        .header("content-type", content_type)
        .header("idempotency-key", KEY)
        .body(body)
        .expect("a request")
}

fn parts(boundary: &str, version: &str) -> String {
    let metadata = json!({"name": "edge", "version": version});
    format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"metadata\"\r\n\r\n{metadata}\r\n\
         --{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"edge.bin\"\r\n\r\n\
         bytes\r\n--{boundary}--\r\n"
    )
}

#[tokio::test]
async fn an_upload_outlives_its_client_and_its_response_is_stored() {
    let server = TestServer::new().await;
    let (chunks, rest) = mpsc::unbounded::<io::Result<Bytes>>();
    let (listening, listens) = oneshot::channel();
    let start = stream::once(async move {
        listening.send(()).expect("the test waits for it");
        Ok(Bytes::new())
    });
    let body = Body::from_stream(start.chain(rest));
    let mut first = Box::pin(server.send_request(upload(&server, "tide", body)));
    tokio::select! {
        _ = &mut first => panic!("nothing was sent yet"),
        listens = listens => listens.expect("the handler reads the body"),
    }
    let again = || {
        server.send_request(upload(
            &server,
            "other",
            Body::from(parts("other", "1.0.0")),
        ))
    };
    let waiting = again().await;
    assert_eq!(waiting.expect_problem(409).0, "request_in_progress");
    drop(first);
    // A request whose lease has expired counts as interrupted.
    server.clock.advance_seconds(60);
    let spent = again().await.expect_problem(409);
    assert_eq!(spent.0, "request_interrupted");

    let text = Bytes::from(parts("tide", "1.0.0"));
    chunks
        .unbounded_send(Ok(text))
        .expect("the handler reads the body");
    drop(chunks);
    let done = async {
        loop {
            let response = again().await;
            if response.status == 201 {
                return response;
            }
            assert_eq!(response.expect_problem(409).0, "request_interrupted");
            tokio::task::yield_now().await;
        }
    };
    let response = timeout(Duration::from_secs(20), done).await;
    let response = response.expect("it completes without its client");
    assert!(is_replayed(&response));
    let created = response.expect(201);
    assert_eq!(created["version"], "1.0.0");
    let listed = server.get("/api/v1/firmware").await.expect(200);
    assert_eq!(listed["total"], 1, "{listed}");

    // Files are not compared, but read to their end, because the client reads the response only then.
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let files = stream::iter(0..100).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        io::Result::Ok(Bytes::from_static(b"whatever"))
    });
    let repeat = upload(&server, "a", Body::from_stream(files));
    assert_eq!(server.send_request(repeat).await.expect(201), created);
    assert_eq!(read.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn a_timed_out_request_completes_and_is_replayed() {
    let limit = Duration::from_secs(2);
    let server = TestServer::with(|settings| settings.request_timeout = limit).await;
    let device = json!({"device_id": "pi-1"});
    server.post("/api/v1/devices", &device).await.expect(201);
    let replace = |body| {
        // Multipart bodies are not buffered before the handler runs.
        let request = request("POST", "/api/v1/devices/pi-1/token", &server.admin)
            .header("content-type", "multipart/form-data; boundary=a")
            .header("idempotency-key", KEY);
        server.send_request(request.body(body).expect("a request"))
    };
    let (rest, body) = mpsc::unbounded::<io::Result<Bytes>>();
    let late = replace(Body::from_stream(body)).await;
    assert_eq!(late.expect_problem(503).0, "too_slow");
    drop(rest);
    let done = async {
        loop {
            let response = replace(Body::empty()).await;
            if response.status == 201 {
                return response;
            }
            assert_eq!(response.expect_problem(409).0, "request_in_progress");
            tokio::task::yield_now().await;
        }
    };
    let response = timeout(Duration::from_secs(20), done).await;
    let response = response.expect("it completes without its client");
    assert!(is_replayed(&response));
    assert!(response.expect(201)["token"].is_string());
}

#[tokio::test]
async fn an_interrupted_upload_may_be_repeated() {
    let server = TestServer::new().await;
    let whole = parts("tide", "1.0.0");
    let half = Body::from(whole[..whole.len() / 2].to_owned());
    let broken = server.send_request(upload(&server, "tide", half)).await;
    assert_eq!(broken.expect_problem(400).0, "broken_body");
    let created = server
        .send_request(upload(&server, "tide", Body::from(whole)))
        .await;
    created.expect(201);
    assert!(!is_replayed(&created));
}

#[tokio::test]
async fn development_tokens_ignore_the_key() {
    let server = TestServer::with(|settings| settings.dev = true).await;
    let payload = json!({"user_id": "creator"});
    for _ in 0..2 {
        let created = server
            .send_request(post("/api/v1/auth/dev-token", "", KEY, &payload))
            .await;
        created.expect(200);
        assert!(!is_replayed(&created));
    }
}
