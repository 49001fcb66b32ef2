//! `Idempotency-Key`: what is sent again is done once.

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
use tidegate_engine::{ports::Role, tenants};
use tokio::time::timeout;

use crate::world::{Answer, World, request};

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
async fn send(world: &World, path: &str, key: &str, body: &Value) -> Answer {
    world.ask(post(path, &world.admin, key, body)).await
}

#[track_caller]
fn is_replayed(answer: &Answer) -> bool {
    let header = answer.headers.get("idempotent-replayed");
    header.is_some_and(|value| value == "true")
}

async fn devices(world: &World) -> Value {
    world.get("/api/v1/devices").await.expect(200)["total"].clone()
}

#[tokio::test]
async fn what_is_sent_again_is_made_once() {
    let world = World::new().await;
    let device = json!({"device_id": "pi-1"});
    let first = send(&world, "/api/v1/devices", KEY, &device).await;
    let made = first.expect(201);
    assert!(made["token"].is_string() && !is_replayed(&first));
    let quoted = format!("\"{KEY}\"");
    for key in [KEY, &quoted] {
        let again = send(&world, "/api/v1/devices", key, &device).await;
        assert_eq!(again.expect(201), made);
        assert!(is_replayed(&again));
        for name in ["location", "content-type", "cache-control"] {
            assert_eq!(again.headers.get(name), first.headers.get(name), "{name}");
        }
    }
    assert_eq!(devices(&world).await, 1);
    // Without a key, and with another, it is another request.
    let without = world.post("/api/v1/devices", &device).await;
    assert_eq!(without.refused(409).0, "device_exists");
    let other = send(&world, "/api/v1/devices", "other", &device).await;
    assert_eq!(other.refused(409).0, "device_exists");
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let world = World::new().await;
    let device = json!({"device_id": "pi-1"});
    send(&world, "/api/v1/devices", KEY, &device)
        .await
        .expect(201);
    world.clock.pass_seconds(24 * 3600 - 1);
    let again = send(&world, "/api/v1/devices", KEY, &device).await;
    again.expect(201);
    assert!(is_replayed(&again));
    world.clock.pass_seconds(1);
    let late = send(&world, "/api/v1/devices", KEY, &device).await;
    assert_eq!(late.refused(409).0, "device_exists");
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let world = World::new().await;
    let device = json!({"device_id": "pi-1"});
    send(&world, "/api/v1/devices", KEY, &device)
        .await
        .expect(201);
    for (path, body) in [
        ("/api/v1/devices", json!({"device_id": "pi-2"})),
        ("/api/v1/gateways", json!({"name": "hall"})),
        ("/api/v1/devices/pi-1/token", device.clone()),
        ("/api/v1/devices?a=b", device.clone()),
    ] {
        let (code, fields) = send(&world, path, KEY, &body).await.refused(422);
        assert_eq!(
            (&*code, fields),
            ("idempotency_key_reused", vec!["Idempotency-Key".to_owned()]),
            "{path}"
        );
    }
    assert_eq!(devices(&world).await, 1);
    assert_eq!(world.get("/api/v1/gateways").await.expect(200)["count"], 0);
}

#[tokio::test]
async fn a_key_is_its_senders_own() {
    let world = World::new().await;
    let other = tenants::create(&world.state.engine, "other")
        .await
        .expect("a tenant");
    let senders = [
        world.admin.clone(),
        world.key("maker", Role::Admin).await,
        world.key_of(&other, "admin", Role::Admin).await,
    ];
    for (n, sender) in senders.iter().enumerate() {
        let gateway = json!({"name": format!("hall {}", n % 2)});
        let path = "/api/v1/gateways";
        let made = world.ask(post(path, sender, KEY, &gateway)).await;
        made.expect(201);
        assert!(!is_replayed(&made));
    }
    // The same user with fewer rights does not see what the other got.
    let viewer = world.key("admin", Role::Viewer).await;
    let gateway = json!({"name": "hall 0"});
    let seen = world
        .ask(post("/api/v1/gateways", &viewer, KEY, &gateway))
        .await;
    assert_eq!(seen.refused(403).0, "role_missing");
}

#[tokio::test]
async fn what_was_refused_may_be_mended() {
    let world = World::new().await;
    for (body, code) in [
        (json!({"device_id": "a b"}), "invalid_device"),
        (json!({"device_id": 7}), "wrong_type"),
        (json!({"device_id": "pi-1", "x": 1}), "unknown_field"),
    ] {
        let refused = send(&world, "/api/v1/devices", KEY, &body).await;
        assert_eq!(refused.refused(422).0, code);
    }
    let device = json!({"device_id": "pi-1"});
    let made = send(&world, "/api/v1/devices", KEY, &device).await;
    made.expect(201);
    assert!(!is_replayed(&made));
}

#[tokio::test]
async fn keys_have_a_shape() {
    let world = World::with(|settings| settings.max_json_bytes = 1000).await;
    let device = json!({"device_id": "pi-1"});
    let longest = "k".repeat(256);
    for key in ["", "a b", "\"a", &longest] {
        let refused = send(&world, "/api/v1/devices", key, &device).await;
        assert_eq!(refused.refused(400).0, "invalid_idempotency_key", "{key}");
    }
    let mut twice = post("/api/v1/devices", &world.admin, KEY, &device);
    twice
        .headers_mut()
        .append("idempotency-key", KEY.parse().expect("a value"));
    let refused = world.ask(twice).await.refused(400);
    assert_eq!(refused.0, "invalid_idempotency_key");
    let nobody = world.ask(post("/api/v1/devices", "", "a b", &device)).await;
    nobody.refused(401);
    let large = json!({"device_id": "x".repeat(1000)});
    let large = send(&world, "/api/v1/devices", KEY, &large).await;
    assert_eq!(large.refused(413).0, "too_large");
    assert_eq!(devices(&world).await, 0);

    let reading = request("GET", "/api/v1/devices", &world.admin).header("idempotency-key", "a b");
    let reading = reading.body(Body::empty()).expect("a request");
    world.ask(reading).await.expect(200);
}

#[tokio::test]
async fn a_request_with_a_key_counts_once() {
    let world = World::with(|settings| settings.limits.tenant_writes_per_second = 2).await;
    let device = json!({"device_id": "pi-1"});
    for _ in 0..2 {
        send(&world, "/api/v1/devices", KEY, &device)
            .await
            .expect(201);
    }
    send(&world, "/api/v1/devices", KEY, &device)
        .await
        .refused(429);
}

#[tokio::test]
async fn of_many_at_once_one_is_done() {
    let world = World::new().await;
    let device = json!({"device_id": "pi-1"});
    let sent = (0..8).map(|_| send(&world, "/api/v1/devices", KEY, &device));
    let mut made = Vec::new();
    for answer in join_all(sent).await {
        if answer.status == 409 {
            assert_eq!(answer.refused(409).0, "request_in_progress");
            assert_eq!(answer.headers["retry-after"], "1");
        } else {
            made.push(answer.expect(201));
        }
    }
    let again = send(&world, "/api/v1/devices", KEY, &device).await;
    made.push(again.expect(201));
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    assert_eq!(devices(&world).await, 1);
}

/// An upload of a firmware with a key, whose parts come as they are sent.
fn upload(world: &World, boundary: &str, body: Body) -> Request<Body> {
    let content_type = format!("multipart/form-data; boundary={boundary}");
    request("POST", "/api/v1/firmware", &world.admin)
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
async fn an_upload_goes_on_without_its_client_and_keeps_its_answer() {
    let world = World::new().await;
    let (chunks, rest) = mpsc::unbounded::<io::Result<Bytes>>();
    let (listening, listens) = oneshot::channel();
    let start = stream::once(async move {
        listening.send(()).expect("the test waits for it");
        Ok(Bytes::new())
    });
    let body = Body::from_stream(start.chain(rest));
    let mut first = Box::pin(world.ask(upload(&world, "tide", body)));
    tokio::select! {
        _ = &mut first => panic!("nothing was sent yet"),
        listens = listens => listens.expect("somebody reads the body"),
    }
    let again = || world.ask(upload(&world, "other", Body::from(parts("other", "1.0.0"))));
    let waiting = again().await;
    assert_eq!(waiting.refused(409).0, "request_in_progress");
    drop(first);
    // Whoever has said nothing for long is taken for dead.
    world.clock.pass_seconds(60);
    let spent = again().await.refused(409);
    assert_eq!(spent.0, "request_interrupted");

    let text = Bytes::from(parts("tide", "1.0.0"));
    chunks.unbounded_send(Ok(text)).expect("somebody listens");
    drop(chunks);
    let done = async {
        loop {
            let answer = again().await;
            if answer.status == 201 {
                return answer;
            }
            assert_eq!(answer.refused(409).0, "request_interrupted");
            tokio::task::yield_now().await;
        }
    };
    let answer = timeout(Duration::from_secs(20), done).await;
    let answer = answer.expect("it is done without its client");
    assert!(is_replayed(&answer));
    let made = answer.expect(201);
    assert_eq!(made["version"], "1.0.0");
    let listed = world.get("/api/v1/firmware").await.expect(200);
    assert_eq!(listed["total"], 1, "{listed}");

    // Files are not compared, but read to their end: whoever sends them looks for an answer then.
    let read = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&read);
    let files = stream::iter(0..100).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        io::Result::Ok(Bytes::from_static(b"whatever"))
    });
    let repeat = upload(&world, "a", Body::from_stream(files));
    assert_eq!(world.ask(repeat).await.expect(201), made);
    assert_eq!(read.load(Ordering::SeqCst), 100);
}

#[tokio::test]
async fn what_took_too_long_goes_on_and_is_found_later() {
    let limit = Duration::from_secs(2);
    let world = World::with(|settings| settings.request_timeout = limit).await;
    let device = json!({"device_id": "pi-1"});
    world.post("/api/v1/devices", &device).await.expect(201);
    let replace = |body| {
        // Nobody reads files beforehand.
        let request = request("POST", "/api/v1/devices/pi-1/token", &world.admin)
            .header("content-type", "multipart/form-data; boundary=a")
            .header("idempotency-key", KEY);
        world.ask(request.body(body).expect("a request"))
    };
    let (rest, body) = mpsc::unbounded::<io::Result<Bytes>>();
    let late = replace(Body::from_stream(body)).await;
    assert_eq!(late.refused(503).0, "too_slow");
    drop(rest);
    let done = async {
        loop {
            let answer = replace(Body::empty()).await;
            if answer.status == 201 {
                return answer;
            }
            assert_eq!(answer.refused(409).0, "request_in_progress");
            tokio::task::yield_now().await;
        }
    };
    let answer = timeout(Duration::from_secs(20), done).await;
    let answer = answer.expect("it is done without its client");
    assert!(is_replayed(&answer));
    assert!(answer.expect(201)["token"].is_string());
}

#[tokio::test]
async fn an_upload_that_broke_off_may_come_again() {
    let world = World::new().await;
    let whole = parts("tide", "1.0.0");
    let half = Body::from(whole[..whole.len() / 2].to_owned());
    let broken = world.ask(upload(&world, "tide", half)).await;
    assert_eq!(broken.refused(400).0, "broken_body");
    let made = world.ask(upload(&world, "tide", Body::from(whole))).await;
    made.expect(201);
    assert!(!is_replayed(&made));
}

#[tokio::test]
async fn a_token_for_development_takes_no_key() {
    let world = World::with(|settings| settings.dev = true).await;
    let wanted = json!({"user_id": "maker"});
    for _ in 0..2 {
        let made = world
            .ask(post("/api/v1/auth/dev-token", "", KEY, &wanted))
            .await;
        made.expect(200);
        assert!(!is_replayed(&made));
    }
}
