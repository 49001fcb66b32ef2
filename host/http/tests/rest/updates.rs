//! Single updates.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::test_server::{TestServer, request};

/// Creates a device and a firmware; returns the firmware's id.
async fn create_device_and_firmware(server: &TestServer) -> i64 {
    let device = json!({"device_id": "pi-0", "attributes": {"hw_model": "rpi4"}});
    server.post("/api/v1/devices", &device).await.expect(201);
    server.firmware("1.1.0", b"new").await
}

#[tokio::test]
async fn a_device_is_offered_a_firmware_once() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let payload = json!({"firmware_id": firmware, "priority": "high", "timeout_minutes": 10});
    let created = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let update = created.expect(201);
    assert_eq!(
        (
            &update["status"],
            &update["campaign_id"],
            &update["to_version"]
        ),
        (&json!("offered"), &Value::Null, &json!("1.1.0"))
    );
    let path = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(path, format!("/api/v1/updates/{}", update["update_id"]));
    assert_eq!(server.get(&path).await.expect(200), update);
    let device = server.get("/api/v1/devices/pi-0").await.expect(200);
    assert_eq!(device["open_update"], update["update_id"]);

    let again = server.post("/api/v1/devices/pi-0/update", &payload).await;
    assert_eq!(again.expect_problem(409).0, "update_open");
    let forced = json!({"firmware_id": firmware, "force": true});
    let forced = server.post("/api/v1/devices/pi-0/update", &forced).await;
    assert_eq!(
        forced.expect_problem(409).0,
        "update_open",
        "`force` does not override this"
    );
}

#[tokio::test]
async fn an_invalid_update_names_its_fields_and_creates_nothing() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    for (extra, code, field) in [
        (
            json!({"timeout_minutes": 4}),
            "invalid_update",
            "/timeout_minutes",
        ),
        (
            json!({"firmware_id": 999}),
            "invalid_update",
            "/firmware_id",
        ),
        (
            json!({"policies": [{"plugin": "unknown"}]}),
            "invalid_update",
            "/policies/0/plugin",
        ),
        (
            json!({"pre_update_commands": ["sync"]}),
            "invalid_update",
            "/pre_update_commands",
        ),
        (
            json!({"post_update_commands": []}),
            "invalid_update",
            "/post_update_commands",
        ),
        (
            json!({"update_type": "time_forced"}),
            "invalid_update",
            "/forced_at",
        ),
        (
            json!({"maintenance_window": {"schedule": "0 25 * * *", "duration": "01:00:00", "timezone": "UTC"}}),
            "invalid_update",
            "/maintenance_window/schedule",
        ),
        (
            json!({"maintenance_window": {"schedule": "0 2 30 2 *", "duration": "01:00:00", "timezone": "UTC"}}),
            "invalid_update",
            "/maintenance_window/schedule",
        ),
        (
            json!({"maintenance_window": {"schedule": "0 2 * * *", "duration": "0s", "timezone": "UTC"}}),
            "invalid_update",
            "/maintenance_window/duration",
        ),
        (
            json!({"maintenance_window": {"schedule": "0 2 * * *", "duration": "1h", "timezone": "Mars/Olympus"}}),
            "invalid_update",
            "/maintenance_window/timezone",
        ),
        (json!({"priority": "soon"}), "wrong_type", "/priority"),
        (json!({"forse": true}), "unknown_field", "/forse"),
    ] {
        let mut payload = json!({"firmware_id": firmware});
        if let (Value::Object(payload), Value::Object(extra)) = (&mut payload, extra) {
            payload.extend(extra);
        }
        let refused = server
            .post("/api/v1/devices/pi-0/update", &payload)
            .await
            .expect_problem(422);
        assert_eq!(
            (refused.0.as_str(), &refused.1[..]),
            (code, &[field.to_owned()][..]),
            "{payload}"
        );
    }
    let payload = json!({"firmware_id": firmware});
    assert_eq!(
        server
            .post("/api/v1/devices/unknown/update", &payload)
            .await
            .expect_problem(404)
            .0,
        "not_found"
    );
    let updates = server.get("/api/v1/devices/pi-0/updates").await.expect(200);
    assert_eq!(updates["total"], 0);
    for path in ["/api/v1/updates/7", "/api/v1/updates/x"] {
        server.get(path).await.expect_problem(404);
        server
            .post(&format!("{path}/cancel"), &json!({}))
            .await
            .expect_problem(404);
    }
}

#[tokio::test]
async fn cancelling_ends_at_the_timeout_without_an_answer() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let payload = json!({"firmware_id": firmware});
    let created = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let path = created.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    for _ in 0..2 {
        let reason = json!({"reason": "the wrong device"});
        let cancelled = server
            .post(&format!("{path}/cancel"), &reason)
            .await
            .expect(200);
        assert_eq!(cancelled["status"], "cancelling");
    }
    server.clock.advance_seconds(3600);
    let expired = server
        .state
        .engine
        .store()
        .expire_updates(server.state.engine.now(), 10)
        .await;
    assert_eq!(expired.map(|affected| affected.len()).ok(), Some(1));
    assert_eq!(server.get(&path).await.expect(200)["status"], "cancelled");
    let late = server.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(late.expect_problem(409).0, "update_ended");
}

#[tokio::test]
async fn force_ends_a_cancelling_update() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "pi-0"});
    let device = server.post("/api/v1/devices", &device).await.expect(201);
    let token = device["token"].as_str().expect("a token");
    let payload = json!({"firmware_id": server.firmware("1.1.0", b"new").await});
    let created = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let id = created.expect(201)["update_id"].clone();
    let path = format!("/api/v1/updates/{id}/cancel");
    for (payload, code, field) in [
        (json!({"force": 1}), "wrong_type", "/force"),
        (json!({"forced": true}), "unknown_field", "/forced"),
    ] {
        let refused = server.post(&path, &payload).await.expect_problem(422);
        assert_eq!(refused, (code.to_owned(), vec![field.to_owned()]));
    }
    let force = json!({"force": true, "reason": "it is in the bin"});
    let early = server.post(&path, &force).await;
    assert_eq!(early.expect_problem(409).0, "update_not_cancelling");

    // Without a body it is an ordinary cancellation.
    let plain = request("POST", &path, &server.admin).body(Body::empty());
    let cancelling = server
        .send_request(plain.expect("a request"))
        .await
        .expect(200);
    assert_eq!(cancelling["status"], "cancelling");
    let ended = server.post(&path, &force).await.expect(200);
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(
        server.post(&path, &force).await.expect_problem(409).0,
        "update_ended"
    );

    let feedback = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    for resource in ["deploymentBase", "cancelAction"] {
        let late = Request::builder()
            .method("POST")
            .uri(format!(
                "/default/controller/v1/pi-0/{resource}/{id}/feedback"
            ))
            .header("host", "localhost")
            .header("authorization", format!("TargetToken {token}"))
            .header("content-type", "application/json")
            .body(Body::from(feedback.to_string()));
        let late = server.send_request(late.expect("a request")).await;
        assert_eq!(late.status, 410, "{resource}");
    }
    let shown = server
        .get(&format!("/api/v1/updates/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["status"], "cancelled");
}

#[tokio::test]
async fn a_policy_refuses_and_force_overrides_it() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let component: &[u8] = b"plugin hardware compatibility";
    server
        .upload("/api/v1/plugins", &[("component", None, component)])
        .await
        .expect(201);
    let strange = json!({"device_id": "toaster", "attributes": {"hw_model": "toaster"}});
    server.post("/api/v1/devices", &strange).await.expect(201);

    let payload = json!({"firmware_id": firmware});
    let refused = server
        .post("/api/v1/devices/toaster/update", &payload)
        .await;
    assert_eq!(refused.expect_problem(409).0, "incompatible");
    let detail = refused.expect(409)["detail"].to_string();
    assert!(detail.contains("hardware: it is a toaster"), "{detail}");
    let none = json!({"firmware_id": firmware, "policies": []});
    server
        .post("/api/v1/devices/pi-0/update", &none)
        .await
        .expect(201);
    // A list that names no policy leaves none out.
    let refused = server.post("/api/v1/devices/toaster/update", &none).await;
    assert_eq!(refused.expect_problem(409).0, "incompatible");
    let bulk = json!({
        "device_ids": ["toaster"], "firmware_id": firmware, "update_config": {"policies": []},
    });
    let bulk = server.post("/api/v1/devices/bulk/update", &bulk).await;
    assert_eq!(bulk.expect(200)["refused"][0]["code"], "incompatible");
    let forced = json!({"firmware_id": firmware, "force": true});
    server
        .post("/api/v1/devices/toaster/update", &forced)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_pinned_device_is_updated_only_with_force() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let pin = json!({"pinned": true});
    server
        .send("PATCH", "/api/v1/devices/pi-0", &server.admin, &pin)
        .await
        .expect(200);
    let payload = json!({"firmware_id": firmware});
    let refused = server.post("/api/v1/devices/pi-0/update", &payload).await;
    assert_eq!(refused.expect_problem(409).0, "pinned");
    let forced = json!({"firmware_id": firmware, "force": true});
    let created = server.post("/api/v1/devices/pi-0/update", &forced).await;
    created.expect(201);
}

#[tokio::test]
async fn bulk_updates_accept_or_refuse_each_device() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let component: &[u8] = b"plugin hardware compatibility";
    server
        .upload("/api/v1/plugins", &[("component", None, component)])
        .await
        .expect(201);
    for (id, model) in [("toaster", "toaster"), ("pi-1", "rpi4")] {
        let device = json!({"device_id": id, "attributes": {"hw_model": model}});
        server.post("/api/v1/devices", &device).await.expect(201);
    }
    let payload = json!({"firmware_id": firmware});
    server
        .post("/api/v1/devices/pi-0/update", &payload)
        .await
        .expect(201);
    let payload = json!({
        "device_ids": ["pi-1", "unknown", "pi-0", "toaster", "pi-1"], "firmware_id": firmware,
        "update_config": {"priority": "low"},
    });
    let outcome = server
        .post("/api/v1/devices/bulk/update", &payload)
        .await
        .expect(200);
    let accepted: Vec<_> = ids(&outcome["accepted"], "update_id");
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].0, "pi-1");
    let refused: Vec<_> = ids(&outcome["refused"], "code");
    let refused: Vec<_> = refused
        .iter()
        .map(|(id, code)| (*id, code.as_str().unwrap_or_default()))
        .collect();
    assert_eq!(
        refused,
        [
            ("unknown", "not_found"),
            ("pi-0", "update_open"),
            ("toaster", "incompatible"),
            ("pi-1", "named_twice")
        ]
    );

    for (payload, field) in [
        (
            json!({"device_ids": [], "firmware_id": firmware}),
            "/device_ids",
        ),
        (
            json!({"device_ids": vec!["a"; 10_001], "firmware_id": firmware}),
            "/device_ids",
        ),
        (
            json!({"device_ids": ["pi-1", "a\u{1b}[2J"], "firmware_id": firmware}),
            "/device_ids",
        ),
        (
            json!({"device_ids": ["pi-1"], "firmware_id": firmware, "update_config": {"post_update_commands": []}}),
            "/update_config/post_update_commands",
        ),
    ] {
        let refused = server
            .post("/api/v1/devices/bulk/update", &payload)
            .await
            .expect_problem(422);
        assert_eq!(
            refused,
            ("invalid_update".to_owned(), vec![field.to_owned()])
        );
    }
}

fn ids<'a>(list: &'a Value, key: &str) -> Vec<(&'a str, &'a Value)> {
    let items = list.as_array().map_or(&[][..], Vec::as_slice);
    items
        .iter()
        .map(|item| {
            (
                item["device_id"].as_str().unwrap_or_default(),
                item.get(key).unwrap_or(&Value::Null),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_rollback_without_a_target_is_refused() {
    let server = TestServer::new().await;
    create_device_and_firmware(&server).await;
    let path = "/api/v1/devices/pi-0/rollback";
    for payload in [
        json!({}),
        json!({"target_version": "0.9.0", "reason": "it was good"}),
    ] {
        assert_eq!(
            server.post(path, &payload).await.expect_problem(409).0,
            "nothing_to_go_back_to"
        );
    }
    let payload = json!({"target_version": "1.1.0", "reason": "x".repeat(1001)});
    assert_eq!(
        server.post(path, &payload).await.expect_problem(422).0,
        "invalid_reason"
    );
    // For a device without an installation, the name of the firmware is unknown.
    let payload = json!({"target_version": "1.1.0"});
    let refused = server.post(path, &payload).await;
    assert_eq!(refused.expect_problem(409).0, "nothing_to_go_back_to");
    for (payload, code, field) in [
        (json!({"force": "yes"}), "wrong_type", "/force"),
        (json!({"forse": true}), "unknown_field", "/forse"),
    ] {
        let refused = server.post(path, &payload).await.expect_problem(422);
        assert_eq!(refused, (code.to_owned(), vec![field.to_owned()]));
    }
    let payload = json!({});
    server
        .post("/api/v1/devices/unknown/rollback", &payload)
        .await
        .expect_problem(404);
}

#[tokio::test]
async fn an_update_shows_its_window_and_is_explained() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let window = json!({"schedule": "0 2 * * *", "duration": "3h", "timezone": "Europe/Berlin", "prefetch": true});
    let payload =
        json!({"firmware_id": firmware, "timeout_minutes": 60, "maintenance_window": window});
    let created = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let update = created.expect(201);
    let shown = json!({"schedule": "0 2 * * *", "duration": "03:00:00", "timezone": "Europe/Berlin", "prefetch": true});
    assert_eq!(update["maintenance_window"], shown);
    assert_eq!(
        update["timeout_at"],
        json!("2026-05-02T01:00:00.000Z"),
        "an hour after it opens"
    );
    let explained = server.get("/api/v1/devices/pi-0/explain").await.expect(200);
    let reasons = explained["device"]["reasons"].to_string();
    let waits =
        "its maintenance window is closed and opens at 2026-05-02 02:00:00 CEST (Europe/Berlin)";
    assert!(reasons.contains(waits), "{reasons}");
}

#[tokio::test]
async fn the_open_update_is_explained() {
    let server = TestServer::new().await;
    let firmware = create_device_and_firmware(&server).await;
    let explained = async || {
        let explained = server.get("/api/v1/devices/pi-0/explain").await.expect(200);
        explained["device"]["reasons"].to_string()
    };
    let none = explained().await;
    assert!(!none.contains("current update"), "{none}");

    let payload = json!({"firmware_id": firmware});
    let created = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let id = &created.expect(201)["update_id"];
    let offered = explained().await;
    let current = format!("its current update is {id}: it is offered");
    assert!(offered.contains(&current), "{offered}");

    let cancel = format!("/api/v1/updates/{id}/cancel");
    server.post(&cancel, &json!({})).await.expect(200);
    let cancelling = explained().await;
    let waits = format!("update {id} is being cancelled and the device has not answered");
    assert!(cancelling.contains(&waits), "{cancelling}");
}
