//! Prometheus metrics and statistics.

use axum::body::Body;
use http::Request;
use serde_json::json;
use tidegate_engine::devices;
use tidegate_http::PluginLabels;

use crate::test_server::TestServer;

#[tokio::test]
async fn requests_plugins_and_the_fleet_are_measured() {
    let server = TestServer::with_plugin_labels(PluginLabels::All).await;
    server.fleet(2).await;
    let path = server.campaign(json!({})).await;
    server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
    server.get("/api/v1/devices/pi-0").await.expect(200);
    server
        .post(
            "/api/v1/plugins/acme/canary/validate",
            &json!({"config": {}}),
        )
        .await
        .expect(200);
    let journal = server.get(&format!("{path}/journal")).await.expect(200);
    let planned = journal["items"].as_array().expect("items").iter();
    let planned = planned.filter(|entry| entry["kind"] == "plan");
    for entry in planned {
        let replay = format!("{path}/journal/{}/replay", entry["seq"]);
        server.post(&replay, &json!({})).await.expect(200);
    }
    server
        .get("/api/v1/devices/unknown")
        .await
        .expect_problem(404);
    server.get("/nothing/at/all").await.expect_problem(404);

    let stats = path.replace("/campaigns/", "/stats/campaigns/");
    let journal_bytes = server.get(&stats).await.expect(200)["journal_bytes"].clone();
    assert!(journal_bytes.as_u64() > Some(256), "{journal_bytes}");
    let stats = server.get("/api/v1/stats").await.expect(200);
    assert_eq!(stats["journal_bytes"], journal_bytes);
    let journal_bytes = format!("tidegate_journal_bytes {journal_bytes}");

    let response = server.get("/metrics").await;
    assert_eq!(response.status, 200);
    let text = String::from_utf8(response.bytes).expect("text");
    for line in [
        r#"tidegate_http_requests_total{method="GET",route="/api/v1/devices/{device_id}",status="200"} 1"#,
        r#"tidegate_http_requests_total{method="GET",route="/api/v1/devices/{device_id}",status="404"} 1"#,
        r#"tidegate_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"tidegate_plugin_calls_total{call="plan",name="canary",outcome="ok",vendor="acme"} 1"#,
        r#"tidegate_plugin_fuel_total{call="plan",name="canary",vendor="acme"} 7"#,
        r#"tidegate_plugin_call_seconds_count{call="plan",name="canary",vendor="acme"} 1"#,
        // Once for the campaign, once for the request.
        r#"tidegate_plugin_calls_total{call="validate",name="canary",outcome="ok",vendor="acme"} 2"#,
        r#"tidegate_plugin_fuel_total{call="validate",name="canary",vendor="acme"} 6"#,
        r#"tidegate_plugin_call_seconds_count{call="validate",name="canary",vendor="acme"} 2"#,
        r#"tidegate_plugin_calls_total{call="replay",name="canary",outcome="ok",vendor="acme"} 1"#,
        r#"tidegate_devices{state="unknown"} 2"#,
        r#"tidegate_campaigns{status="in_progress"} 1"#,
        r#"tidegate_campaigns{status="held"} 0"#,
        &journal_bytes,
        "ota_updated_pods_total 0",
        "ota_last_run_timestamp_seconds ",
        "ota_jobs_pending 0",
        "ota_jobs_successful 0",
        "ota_jobs_total 0",
    ] {
        assert!(
            text.lines().any(|found| found.starts_with(line)),
            "{line} is not in\n{text}"
        );
    }
    assert!(!text.contains("DEFAULT"), "metrics name no tenant");
}

#[tokio::test]
async fn the_writing_of_last_seen_times_is_measured() {
    let server = TestServer::new().await;
    let token = "from-another-server-a1";
    let device = json!({"device_id": "pi-0", "token": token});
    server.post("/api/v1/devices", &device).await.expect(201);
    let poll = Request::get("/default/controller/v1/pi-0")
        .header("host", "localhost")
        .header("authorization", format!("TargetToken {token}"))
        .body(Body::empty());
    let response = server.send_request(poll.expect("a request")).await;
    response.expect(200);
    let written = devices::flush_last_seen(&server.state.engine).await;
    written.expect("a database");
    let text = String::from_utf8(server.get("/metrics").await.bytes).expect("text");
    for line in [
        r#"tidegate_last_seen_write_seconds_bucket{le="0.1"}"#,
        "tidegate_last_seen_write_seconds_count 1",
    ] {
        assert!(
            text.lines().any(|found| found.starts_with(line)),
            "{line} is not in\n{text}"
        );
    }
}

#[tokio::test]
async fn names_of_plugins_that_are_not_built_in_are_hidden_by_default() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let path = server.campaign(json!({})).await;
    server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
    let text = String::from_utf8(server.get("/metrics").await.bytes).expect("text");
    for line in [
        r#"tidegate_plugin_calls_total{call="plan",name="other",outcome="ok",vendor="other"} 1"#,
        r#"tidegate_plugin_fuel_total{call="plan",name="other",vendor="other"} 7"#,
        r#"tidegate_plugin_call_seconds_count{call="plan",name="other",vendor="other"} 1"#,
        r#"tidegate_plugin_calls_total{call="check",name="hardware",outcome="ok",vendor="tidegate"} 1"#,
    ] {
        assert!(
            text.lines().any(|found| found.starts_with(line)),
            "{line} is not in\n{text}"
        );
    }
    assert!(!text.contains("canary"), "{text}");
}

#[tokio::test]
async fn stats_are_shown_to_the_tenant() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let stats = server.get("/api/v1/stats").await.expect(200);
    assert_eq!(stats["devices"]["total"], 2);
    assert_eq!(stats["devices"]["by_state"], json!({"unknown": 2}));
    assert_eq!(stats["devices"]["by_model"], json!({"unknown": 2}));
    assert_eq!(stats["devices"]["by_version"], json!({"unknown": 2}));
    assert_eq!(
        stats["last_24h"],
        json!({"completed": 0, "failed": 0, "success_rate": 0.0})
    );
}
