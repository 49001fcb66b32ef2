//! Retries of updates.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::test_server::TestServer;

/// Creates a device and a firmware; returns the device's token and the firmware's id.
async fn create_device_and_firmware(server: &TestServer) -> (String, i64) {
    let device = json!({"device_id": "pi-0"});
    let created = server.post("/api/v1/devices", &device).await.expect(201);
    let token = created["token"].as_str().expect("a token").to_owned();
    (token, server.firmware("1.1.0", b"new").await)
}

/// The device reports that this update failed.
async fn report_failure(server: &TestServer, token: &str, update: &Value) {
    let id = &update["update_id"];
    let feedback = json!({"status": {"execution": "closed", "result": {"finished": "failure"}}});
    let request = Request::builder()
        .method("POST")
        .uri(format!(
            "/default/controller/v1/pi-0/deploymentBase/{id}/feedback"
        ))
        .header("host", "localhost")
        .header("authorization", format!("TargetToken {token}"))
        .header("content-type", "application/json")
        .body(Body::from(feedback.to_string()))
        .expect("a request");
    assert_eq!(server.send_request(request).await.status, 200);
}

#[tokio::test]
async fn an_update_is_retried_up_to_max_retries() {
    let server = TestServer::new().await;
    let (token, firmware) = create_device_and_firmware(&server).await;
    let payload = json!({"firmware_id": firmware, "max_retries": 2, "retry_delay": 30});
    let first = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let first = first.expect(201);
    assert_eq!(
        (
            &first["retry_count"],
            &first["max_retries"],
            &first["scheduled_at"],
            &first["retry_of"],
            &first["is_retried"],
        ),
        (
            &json!(0),
            &json!(2),
            &Value::Null,
            &Value::Null,
            &json!(false)
        )
    );
    report_failure(&server, &token, &first).await;
    let updates = server.get("/api/v1/devices/pi-0/updates").await.expect(200);
    let (next, was) = (&updates["items"][0], &updates["items"][1]);
    assert_eq!(
        (&next["status"], &next["retry_count"], &next["retry_of"]),
        (&json!("scheduled"), &json!(1), &first["update_id"])
    );
    assert_eq!(next["scheduled_at"], next["timeout_at"]);
    assert_eq!(
        (&was["status"], &was["is_retried"], &was["error_code"]),
        (&json!("failed"), &json!(true), &json!("FAILED"))
    );
    assert_eq!(updates["totals"]["failed"], 0);
    assert_eq!(updates["totals"]["open"], 1);

    let path = format!("/api/v1/updates/{}", next["update_id"]);
    let retry = server.post(&format!("{path}/retry"), &json!({})).await;
    assert_eq!(retry.expect_problem(409).0, "nothing_to_retry");
    let cancelled = server.post(&format!("{path}/cancel"), &json!({})).await;
    assert_eq!(cancelled.expect(200)["status"], "cancelled", "at once");

    let again = json!({"max_retries": 1, "retry_delay": 5});
    let again = server.post(&format!("{path}/retry"), &again).await;
    let again = again.expect(201);
    assert_eq!(
        (
            &again["status"],
            &again["max_retries"],
            &again["retry_count"]
        ),
        (&json!("offered"), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn retries_have_their_bounds() {
    let server = TestServer::new().await;
    let (_, firmware) = create_device_and_firmware(&server).await;
    let device = "/api/v1/devices/pi-0/update";
    let created = server.post(device, &json!({"firmware_id": firmware})).await;
    let id = created.expect(201)["update_id"].clone();
    let path = format!("/api/v1/updates/{id}");
    server
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .expect(200);
    for (extra, field) in [
        (json!({"max_retries": 11}), "/max_retries"),
        (json!({"max_retries": 1, "retry_delay": 0}), "/retry_delay"),
        (
            json!({"max_retries": 1, "retry_delay": 3601}),
            "/retry_delay",
        ),
        (json!({"retry_delay": 60}), "/retry_delay"),
        (json!({"max_retries": -1}), "/max_retries"),
    ] {
        let retry = server.post(&format!("{path}/retry"), &extra).await;
        assert_eq!(retry.expect_problem(422).1, [field.to_owned()], "{extra}");
        let bulk = json!({"device_ids": ["pi-0"], "firmware_id": firmware, "update_config": extra});
        let bulk = server.post("/api/v1/devices/bulk/update", &bulk).await;
        let named = format!("/update_config{field}");
        let refused = bulk.expect_problem(422).1;
        assert!(
            [named, field.to_owned()].contains(&refused[0]),
            "{refused:?}"
        );
        let mut payload = extra.clone();
        payload["firmware_id"] = json!(firmware);
        let refused = server.post(device, &payload).await.expect_problem(422);
        assert_eq!(refused.1, [field.to_owned()], "{payload}");
    }
}

#[tokio::test]
async fn a_note_is_shown_and_a_retry_keeps_it_unless_it_has_another() {
    let server = TestServer::new().await;
    let (token, firmware) = create_device_and_firmware(&server).await;
    let note = "ticket 7:\n\tüber Nacht";
    let payload = json!({"firmware_id": firmware, "note": note});
    let first = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let first = first.expect(201);
    assert_eq!(first["note"], note);
    report_failure(&server, &token, &first).await;

    let retry = format!("/api/v1/updates/{}/retry", first["update_id"]);
    for bad in ["a\u{7}", &"x".repeat(1001)] {
        let refused = server.post(&retry, &json!({"note": bad})).await;
        assert_eq!(refused.expect_problem(422).1, ["/note"]);
    }
    let second = server.post(&retry, &json!({})).await.expect(201);
    assert_eq!(second["note"], note);
    report_failure(&server, &token, &second).await;
    let retry = format!("/api/v1/updates/{}/retry", second["update_id"]);
    let third = server.post(&retry, &json!({"note": ""})).await.expect(201);
    assert_eq!(third["note"], "");
}

#[tokio::test]
async fn devices_do_not_see_notes() {
    let server = TestServer::new().await;
    let (token, firmware) = create_device_and_firmware(&server).await;
    let payload = json!({"firmware_id": firmware, "note": "ticket 7"});
    let update = server.post("/api/v1/devices/pi-0/update", &payload).await;
    let id = update.expect(201)["update_id"].clone();
    let request = Request::builder()
        .uri(format!("/default/controller/v1/pi-0/deploymentBase/{id}"))
        .header("host", "localhost")
        .header("authorization", format!("TargetToken {token}"))
        .body(Body::empty())
        .expect("a request");
    let deployment = server.send_request(request).await.expect(200);
    assert!(!deployment.to_string().contains("ticket"), "{deployment}");
}
