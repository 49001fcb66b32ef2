//! Invalid requests change nothing and get a problem response.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::test_server::{TestServer, request};

#[tokio::test]
async fn every_kind_of_bad_body_has_its_status() {
    let server = TestServer::with(|settings| settings.max_json_bytes = 1000).await;
    let large = format!(r#"{{"device_id": "{}"}}"#, "x".repeat(1000));
    for (content_type, body, status, code) in [
        ("application/json", "{", 400, "malformed_json"),
        ("application/json", "", 400, "malformed_json"),
        ("application/json", r#"{"device_id": 7}"#, 422, "wrong_type"),
        ("application/json", r#"["a"]"#, 422, "wrong_type"),
        (
            "application/json",
            r#"{"device_id": "a", "x": 1}"#,
            422,
            "unknown_field",
        ),
        (
            "application/json",
            r#"{"device_id": "a b"}"#,
            422,
            "invalid_device",
        ),
        ("application/json", &large, 413, "too_large"),
        (
            "text/plain",
            r#"{"device_id": "a"}"#,
            415,
            "unsupported_media_type",
        ),
    ] {
        let request = request("POST", "/api/v1/devices", &server.admin);
        let request = request.header("content-type", content_type);
        let response = server
            .send_request(
                request
                    .body(Body::from(body.to_owned()))
                    .expect("a request"),
            )
            .await;
        assert_eq!(response.expect_problem(status).0, code, "{body:.50}");
    }
    assert_eq!(server.get("/api/v1/devices").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn unknown_paths_and_ids_are_problems() {
    let server = TestServer::new().await;
    for path in [
        "/",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/nothing",
        "/api/v2/devices",
    ] {
        assert_eq!(
            server.get(path).await.expect_problem(404).0,
            "no_such_route",
            "{path}"
        );
    }
    for path in [
        "/api/v1/firmware/7",
        "/api/v1/firmware/seven",
        "/api/v1/campaigns/99999999999999999999",
        "/api/v1/devices/unknown",
        "/api/v1/plugins/acme/nothing",
        "/api/v1/plugins/acme/nothing/revisions/latest",
    ] {
        assert_eq!(
            server.get(path).await.expect_problem(404).0,
            "not_found",
            "{path}"
        );
    }
    server.get("/api/v1/devices/%ff").await.expect_problem(404);
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let server = TestServer::new().await;
    for (path, content_type) in [
        ("/api/v1/devices", "application/json"),
        ("/api/v1/firmware", "multipart/form-data; boundary=b"),
    ] {
        for (coding, is_refused) in [
            ("gzip", true),
            ("br", true),
            ("identity, gzip", true),
            ("Identity", false),
            ("identity, identity", false),
        ] {
            let request = request("POST", path, &server.admin)
                .header("content-type", content_type)
                .header("content-encoding", coding)
                .body(Body::from(r#"{"device_id": "a"}"#))
                .expect("a request");
            let response = server.send_request(request).await;
            assert_eq!(response.status == 415, is_refused, "{path} {coding}");
            if is_refused {
                assert_eq!(response.expect_problem(415).0, "unsupported_encoding");
                assert_eq!(response.headers["accept-encoding"], "identity");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_method_gets_the_allowed_ones() {
    let server = TestServer::new().await;
    for (method, path, allowed) in [
        ("DELETE", "/api/v1/devices", "GET,HEAD,POST"),
        ("GET", "/api/v1/campaigns/1/start", "POST"),
        ("POST", "/health", "GET,HEAD"),
    ] {
        let response = server.send(method, path, &server.admin, &json!({})).await;
        assert_eq!(
            response.expect_problem(405).0,
            "method_not_allowed",
            "{path}"
        );
        assert_eq!(response.headers["allow"], allowed, "{path}");
    }
}

#[tokio::test]
async fn every_operation_refuses_unknown_parameters() {
    let server = TestServer::new().await;
    let document = server.get("/api/v1/openapi.json").await.expect(200);
    let mut asked = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let one = path
            .split('/')
            .map(|part| if part.starts_with('{') { "1" } else { part });
        let one: Vec<_> = one.collect();
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_none() {
                continue;
            }
            let path = format!("{}?nothing=1&limmit=2", one.join("/"));
            let method = method.to_uppercase();
            let refused = server.send(&method, &path, &server.admin, &json!({})).await;
            let (code, fields) = refused.expect_problem(422);
            assert_eq!(code, "unknown_field", "{method} {path}");
            assert_eq!(fields, ["nothing", "limmit"], "{method} {path}");
            asked += 1;
        }
    }
    assert!(asked > 50, "{asked}");
    let refused = server.get("/api/v1/openapi.json?nothing=1").await;
    assert_eq!(refused.expect_problem(422).0, "unknown_field");
}

#[tokio::test]
async fn parameters_are_checked() {
    let server = TestServer::new().await;
    for (query, code, field) in [
        ("limit=0", "invalid_page", "limit"),
        ("limit=501", "invalid_page", "limit"),
        ("limit=many", "wrong_type", "limit"),
        ("offset=-1", "wrong_type", "offset"),
        ("offset=18446744073709551615", "invalid_page", "offset"),
        ("limits=7", "unknown_field", "limits"),
        ("q=hw_model%3D", "invalid_selector", "q"),
        ("q=pinned==TRUE", "invalid_selector", "q"),
        ("q=mode!=manuel", "invalid_selector", "q"),
        ("q=state!=in-sync", "invalid_selector", "q"),
        ("q=sw_version=lt=2.O.0", "invalid_selector", "q"),
        ("q=sw_version=lt=''", "invalid_selector", "q"),
        ("q=sw_version!=''", "invalid_selector", "q"),
        ("q=last_seen=gt=2026", "invalid_selector", "q"),
        ("q=last_seen=lt=1777636800000000", "invalid_selector", "q"),
        ("q=created_at=ge=-5", "invalid_selector", "q"),
        ("q=name=gt=a*", "invalid_selector", "q"),
        ("q=pinned=gt=false", "invalid_selector", "q"),
        ("sort=secret", "invalid_sort", "sort"),
    ] {
        let refused = server
            .get(&format!("/api/v1/devices?{query}"))
            .await
            .expect_problem(422);
        assert_eq!(
            refused,
            (code.to_owned(), vec![field.to_owned()]),
            "{query}"
        );
    }
    for (query, expected) in [
        (
            "q=pinned==TRUE",
            "invalid value `TRUE` for `pinned`: must be true or false (did you mean true?)",
        ),
        (
            "q=mode!=manuel",
            "invalid value `manuel` for `mode`: must be rollout, latest or manual",
        ),
        (
            "q=state!=in-sync",
            "invalid value `in-sync` for `state`: must be unknown, registered, pending, in_sync",
        ),
        (
            "q=sw_version=lt=2.O.0",
            "invalid value `2.O.0` for `sw_version`: must be a version",
        ),
        (
            "q=last_seen=gt=2026",
            "invalid time `2026` for `last_seen`: must be RFC 3339",
        ),
        (
            "q=last_seen=lt=1777636800000000",
            "invalid time `1777636800000000` for `last_seen`: must be RFC 3339, such as 2026-05-01T12:00:00Z, or \
             milliseconds since 1970, from 2000 to 2099",
        ),
    ] {
        let refused = server.get(&format!("/api/v1/devices?{query}")).await;
        let body = refused.expect(422);
        let message = body["errors"][0]["message"].as_str();
        assert!(
            message.is_some_and(|message| message.contains(expected)),
            "{body}"
        );
    }
    let refused = server
        .get("/api/v1/campaigns?status=sleeping")
        .await
        .expect_problem(422);
    assert_eq!(refused.1, ["status"]);
}

#[tokio::test]
async fn a_slow_request_times_out() {
    let server = TestServer::with(|settings| settings.request_timeout = Duration::ZERO).await;
    // The body never arrives.
    let silence = Body::from_stream(futures::stream::pending::<std::io::Result<bytes::Bytes>>());
    let request = request("POST", "/api/v1/devices", &server.admin)
        .header("content-type", "application/json")
        .body(silence)
        .expect("a request");
    let refused = server.send_request(request).await;
    assert_eq!(refused.expect_problem(503).0, "too_slow");
    assert_eq!(refused.headers["retry-after"], "1");
}

#[tokio::test]
async fn a_body_may_be_slow_as_long_as_bytes_arrive() {
    let limit = Duration::from_millis(500);
    let server = TestServer::with(|settings| settings.request_timeout = limit).await;
    for (device_id, key) in [("pi-1", None), ("pi-2", Some("a-key-of-this-test"))] {
        let json = format!(
            r#"{{"device_id": "{device_id}", "name": "{}"}}"#,
            "a".repeat(70)
        );
        let bytes: Vec<_> = json.into_bytes().chunks(1).map(<[u8]>::to_vec).collect();
        let ticks = tokio::time::interval(Duration::from_millis(20));
        let slow = futures::stream::unfold(
            (ticks, bytes.into_iter()),
            |(mut ticks, mut bytes)| async move {
                ticks.tick().await;
                let byte = bytes.next()?;
                Some((std::io::Result::Ok(byte), (ticks, bytes)))
            },
        );
        let mut request = request("POST", "/api/v1/devices", &server.admin)
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let started = std::time::Instant::now();
        let request = request.body(Body::from_stream(slow)).expect("a request");
        server.send_request(request).await.expect(201);
        assert!(started.elapsed() > limit * 2);
    }
}

#[tokio::test]
async fn probes_need_no_key() {
    let server = TestServer::new().await;
    for (path, field, expected) in [
        ("/health", "status", "ok"),
        ("/readyz", "status", "ready"),
        ("/version", "name", "tidegate"),
    ] {
        let bare = Request::builder()
            .uri(path)
            .body(Body::empty())
            .expect("a request");
        assert_eq!(server.send_request(bare).await.expect(200)[field], expected);
    }
    let heartbeat = server
        .state
        .engine
        .health()
        .register_loop("campaigns", Duration::from_hours(1));
    server.get("/readyz").await.expect(200);
    drop(heartbeat);
    server.get("/readyz").await.expect_problem(503);
}

#[tokio::test]
async fn a_stopping_server_is_not_ready() {
    let server = TestServer::new().await;
    server.state.shutdown.cancel();
    server.get("/readyz").await.expect_problem(503);
    server.get("/health").await.expect(200);
}

#[tokio::test]
async fn a_body_without_parts_is_not_buffered_forever() {
    let server = TestServer::new().await;
    for (path, start) in [
        ("/api/v1/firmware", ""),
        (
            "/api/v1/firmware",
            "--b\r\nContent-Disposition: form-data; name=\"",
        ),
        ("/api/v1/plugins", "--b\r\n"),
    ] {
        let start = futures::stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from(start))]);
        let noise = bytes::Bytes::from(vec![b'x'; 1 << 20]);
        let endless = futures::stream::repeat_with(move || Ok(noise.clone()));
        let body = Body::from_stream(futures::StreamExt::chain(start, endless));
        let request = request("POST", path, &server.admin)
            .header("content-type", "multipart/form-data; boundary=b")
            .body(body)
            .expect("a request");
        assert_eq!(
            server.send_request(request).await.expect_problem(400).0,
            "broken_body"
        );
    }
}
