//! Updates by themselves.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{World, request};

/// A device, and a firmware that it has not got.
async fn one(world: &World) -> i64 {
    let device = json!({"device_id": "pi-0", "attributes": {"hw_model": "rpi4"}});
    world.post("/api/v1/devices", &device).await.expect(201);
    world.firmware("1.1.0", b"new").await
}

#[tokio::test]
async fn a_device_is_offered_a_firmware_once() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let wish = json!({"firmware_id": firmware, "priority": "high", "timeout_minutes": 10});
    let made = world.post("/api/v1/devices/pi-0/update", &wish).await;
    let update = made.expect(201);
    assert_eq!(
        (
            &update["status"],
            &update["campaign_id"],
            &update["to_version"]
        ),
        (&json!("offered"), &Value::Null, &json!("1.1.0"))
    );
    let path = made.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    assert_eq!(path, format!("/api/v1/updates/{}", update["update_id"]));
    assert_eq!(world.get(&path).await.expect(200), update);
    let device = world.get("/api/v1/devices/pi-0").await.expect(200);
    assert_eq!(device["open_update"], update["update_id"]);

    let again = world.post("/api/v1/devices/pi-0/update", &wish).await;
    assert_eq!(again.refused(409).0, "update_open");
    let forced = json!({"firmware_id": firmware, "force": true});
    let forced = world.post("/api/v1/devices/pi-0/update", &forced).await;
    assert_eq!(
        forced.refused(409).0,
        "update_open",
        "force does not go past this"
    );
}

#[tokio::test]
async fn what_is_wrong_with_an_update_is_named_and_nothing_is_made() {
    let world = World::new().await;
    let firmware = one(&world).await;
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
            json!({"policies": [{"plugin": "nobody"}]}),
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
        let mut wish = json!({"firmware_id": firmware});
        if let (Value::Object(wish), Value::Object(extra)) = (&mut wish, extra) {
            wish.extend(extra);
        }
        let refused = world
            .post("/api/v1/devices/pi-0/update", &wish)
            .await
            .refused(422);
        assert_eq!(
            (refused.0.as_str(), &refused.1[..]),
            (code, &[field.to_owned()][..]),
            "{wish}"
        );
    }
    let wish = json!({"firmware_id": firmware});
    assert_eq!(
        world
            .post("/api/v1/devices/nobody/update", &wish)
            .await
            .refused(404)
            .0,
        "not_found"
    );
    let updates = world.get("/api/v1/devices/pi-0/updates").await.expect(200);
    assert_eq!(updates["total"], 0);
    for path in ["/api/v1/updates/7", "/api/v1/updates/x"] {
        world.get(path).await.refused(404);
        world
            .post(&format!("{path}/cancel"), &json!({}))
            .await
            .refused(404);
    }
}

#[tokio::test]
async fn an_update_is_called_back_once_the_device_agrees() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let wish = json!({"firmware_id": firmware});
    let made = world.post("/api/v1/devices/pi-0/update", &wish).await;
    let path = made.headers["location"]
        .to_str()
        .expect("a path")
        .to_owned();
    for _ in 0..2 {
        let reason = json!({"reason": "the wrong device"});
        let cancelled = world
            .post(&format!("{path}/cancel"), &reason)
            .await
            .expect(200);
        assert_eq!(cancelled["status"], "cancelling");
    }
    world.clock.pass_seconds(3600);
    let expired = world
        .state
        .engine
        .store()
        .expire(world.state.engine.now(), 10)
        .await;
    assert_eq!(expired.map(|touched| touched.len()).ok(), Some(1));
    assert_eq!(world.get(&path).await.expect(200)["status"], "cancelled");
    let late = world.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(late.refused(409).0, "update_ended");
}

#[tokio::test]
async fn an_update_that_is_called_back_is_ended_without_its_device() {
    let world = World::new().await;
    let device = json!({"device_id": "pi-0"});
    let device = world.post("/api/v1/devices", &device).await.expect(201);
    let token = device["token"].as_str().expect("a token");
    let wish = json!({"firmware_id": world.firmware("1.1.0", b"new").await});
    let made = world.post("/api/v1/devices/pi-0/update", &wish).await;
    let id = made.expect(201)["update_id"].clone();
    let path = format!("/api/v1/updates/{id}/cancel");
    for (wish, code, field) in [
        (json!({"force": 1}), "wrong_type", "/force"),
        (json!({"forced": true}), "unknown_field", "/forced"),
    ] {
        let refused = world.post(&path, &wish).await.refused(422);
        assert_eq!(refused, (code.to_owned(), vec![field.to_owned()]));
    }
    let force = json!({"force": true, "reason": "it is in the bin"});
    let early = world.post(&path, &force).await;
    assert_eq!(early.refused(409).0, "update_not_cancelling");

    // Without a body it is an ordinary cancel.
    let plain = request("POST", &path, &world.admin).body(Body::empty());
    let called = world.ask(plain.expect("a request")).await.expect(200);
    assert_eq!(called["status"], "cancelling");
    let ended = world.post(&path, &force).await.expect(200);
    assert_eq!(ended["status"], "cancelled");
    assert_eq!(
        world.post(&path, &force).await.refused(409).0,
        "update_ended"
    );

    let said = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    for resource in ["deploymentBase", "cancelAction"] {
        let late = Request::builder()
            .method("POST")
            .uri(format!(
                "/default/controller/v1/pi-0/{resource}/{id}/feedback"
            ))
            .header("host", "localhost")
            .header("authorization", format!("TargetToken {token}"))
            .header("content-type", "application/json")
            .body(Body::from(said.to_string()));
        let late = world.ask(late.expect("a request")).await;
        assert_eq!(late.status, 410, "{resource}");
    }
    let shown = world
        .get(&format!("/api/v1/updates/{id}"))
        .await
        .expect(200);
    assert_eq!(shown["status"], "cancelled");
}

#[tokio::test]
async fn a_policy_refuses_and_force_goes_past_it() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let component: &[u8] = b"plugin hardware compatibility";
    world
        .upload("/api/v1/plugins", &[("component", None, component)])
        .await
        .expect(201);
    let strange = json!({"device_id": "toaster", "attributes": {"hw_model": "toaster"}});
    world.post("/api/v1/devices", &strange).await.expect(201);

    let wish = json!({"firmware_id": firmware});
    let refused = world.post("/api/v1/devices/toaster/update", &wish).await;
    assert_eq!(refused.refused(409).0, "incompatible");
    let detail = refused.expect(409)["detail"].to_string();
    assert!(detail.contains("hardware: it is a toaster"), "{detail}");
    let none = json!({"firmware_id": firmware, "policies": []});
    world
        .post("/api/v1/devices/pi-0/update", &none)
        .await
        .expect(201);
    let forced = json!({"firmware_id": firmware, "force": true});
    world
        .post("/api/v1/devices/toaster/update", &forced)
        .await
        .expect(201);
}

#[tokio::test]
async fn a_pinned_device_is_left_alone_unless_it_is_forced() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let pin = json!({"pinned": true});
    world
        .send("PATCH", "/api/v1/devices/pi-0", &world.admin, &pin)
        .await
        .expect(200);
    let wish = json!({"firmware_id": firmware});
    let refused = world.post("/api/v1/devices/pi-0/update", &wish).await;
    assert_eq!(refused.refused(409).0, "pinned");
    let forced = json!({"firmware_id": firmware, "force": true});
    let made = world.post("/api/v1/devices/pi-0/update", &forced).await;
    made.expect(201);
}

#[tokio::test]
async fn many_devices_are_accepted_or_refused_each_by_itself() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let component: &[u8] = b"plugin hardware compatibility";
    world
        .upload("/api/v1/plugins", &[("component", None, component)])
        .await
        .expect(201);
    for (id, model) in [("toaster", "toaster"), ("pi-1", "rpi4")] {
        let device = json!({"device_id": id, "attributes": {"hw_model": model}});
        world.post("/api/v1/devices", &device).await.expect(201);
    }
    let wish = json!({"firmware_id": firmware});
    world
        .post("/api/v1/devices/pi-0/update", &wish)
        .await
        .expect(201);
    let wish = json!({
        "device_ids": ["pi-1", "nobody", "pi-0", "toaster", "pi-1"], "firmware_id": firmware,
        "update_config": {"priority": "low"},
    });
    let outcome = world
        .post("/api/v1/devices/bulk/update", &wish)
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
            ("nobody", "not_found"),
            ("pi-0", "update_open"),
            ("toaster", "incompatible"),
            ("pi-1", "named_twice")
        ]
    );

    for (wish, field) in [
        (
            json!({"device_ids": [], "firmware_id": firmware}),
            "/device_ids",
        ),
        (
            json!({"device_ids": vec!["a"; 10_001], "firmware_id": firmware}),
            "/device_ids",
        ),
        (
            json!({"device_ids": ["pi-1"], "firmware_id": firmware, "update_config": {"post_update_commands": []}}),
            "/update_config/post_update_commands",
        ),
    ] {
        let refused = world
            .post("/api/v1/devices/bulk/update", &wish)
            .await
            .refused(422);
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
async fn there_is_nothing_to_go_back_to() {
    let world = World::new().await;
    one(&world).await;
    let path = "/api/v1/devices/pi-0/rollback";
    for wish in [
        json!({}),
        json!({"target_version": "0.9.0", "reason": "it was good"}),
    ] {
        assert_eq!(
            world.post(path, &wish).await.refused(409).0,
            "nothing_to_go_back_to"
        );
    }
    let wish = json!({"target_version": "1.1.0", "reason": "x".repeat(1001)});
    assert_eq!(
        world.post(path, &wish).await.refused(422).0,
        "invalid_reason"
    );
    // Of a device that never had one, nobody knows which product it is.
    let wish = json!({"target_version": "1.1.0"});
    let refused = world.post(path, &wish).await;
    assert_eq!(refused.refused(409).0, "nothing_to_go_back_to");
    for (wish, code, field) in [
        (json!({"force": "yes"}), "wrong_type", "/force"),
        (json!({"forse": true}), "unknown_field", "/forse"),
    ] {
        let refused = world.post(path, &wish).await.refused(422);
        assert_eq!(refused, (code.to_owned(), vec![field.to_owned()]));
    }
    let wish = json!({});
    world
        .post("/api/v1/devices/nobody/rollback", &wish)
        .await
        .refused(404);
}

#[tokio::test]
async fn an_update_has_its_window_and_says_what_it_waits_for() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let window = json!({"schedule": "0 2 * * *", "duration": "3h", "timezone": "Europe/Berlin", "prefetch": true});
    let wish =
        json!({"firmware_id": firmware, "timeout_minutes": 60, "maintenance_window": window});
    let made = world.post("/api/v1/devices/pi-0/update", &wish).await;
    let update = made.expect(201);
    let shown = json!({"schedule": "0 2 * * *", "duration": "03:00:00", "timezone": "Europe/Berlin", "prefetch": true});
    assert_eq!(update["maintenance_window"], shown);
    assert_eq!(
        update["timeout_at"],
        json!("2026-05-02T01:00:00.000Z"),
        "an hour after it opens"
    );
    let explained = world.get("/api/v1/devices/pi-0/explain").await.expect(200);
    let reasons = explained["device"]["reasons"].to_string();
    let waits =
        "its maintenance window is closed, and opens at 2026-05-02 02:00:00 CEST (Europe/Berlin)";
    assert!(reasons.contains(waits), "{reasons}");
}

#[tokio::test]
async fn what_a_device_is_told_to_do_is_explained() {
    let world = World::new().await;
    let firmware = one(&world).await;
    let explained = async || {
        let explained = world.get("/api/v1/devices/pi-0/explain").await.expect(200);
        explained["device"]["reasons"].to_string()
    };
    let none = explained().await;
    assert!(!none.contains("update "), "{none}");

    let wish = json!({"firmware_id": firmware});
    let made = world.post("/api/v1/devices/pi-0/update", &wish).await;
    let id = &made.expect(201)["update_id"];
    let offered = explained().await;
    let told = format!("update {id} is what it is told to do now: it is offered");
    assert!(offered.contains(&told), "{offered}");

    let cancel = format!("/api/v1/updates/{id}/cancel");
    world.post(&cancel, &json!({})).await.expect(200);
    let cancelling = explained().await;
    let waits = format!("update {id} is called back, and the device has not answered");
    assert!(cancelling.contains(&waits), "{cancelling}");
}
