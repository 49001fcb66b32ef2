//! All errors of a body are reported in one response.

use serde_json::{Value, json};

use crate::test_server::TestServer;

#[tokio::test]
async fn a_wrong_type_an_unknown_field_and_a_broken_rule_are_reported_together() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let campaign = json!({
        "name": 7, "firmware_id": firmware, "target_groups": ["lab"],
        "strategy": {"plugin": "acme/canary", "config": {"bad": 1}}, "nmae": "a", "timeout_minutes": 1,
        "maintenance_window": {"schedule": "x", "duration": "01:00:00", "timezone": "UTC", "y": 1},
    });
    let update = json!({
        "firmware_id": "a", "max_retries": 11, "x": 1, "forced_at": "2026-05-01T12:00:00Z",
    });
    let bulk = json!({
        "device_ids": [], "firmware_id": "a",
        "update_config": {"force": 1, "max_retries": 11, "x": 1},
    });
    for (method, path, body, fields) in [
        (
            "POST",
            "/api/v1/campaigns",
            campaign,
            vec![
                "/maintenance_window/schedule",
                "/maintenance_window/y",
                "/name",
                "/nmae",
                "/strategy/config/bad",
                "/timeout_minutes",
            ],
        ),
        (
            "POST",
            "/api/v1/devices/pi-0/update",
            update,
            vec!["/firmware_id", "/forced_at", "/max_retries", "/x"],
        ),
        (
            "POST",
            "/api/v1/devices/bulk/update",
            bulk,
            vec![
                "/device_ids",
                "/firmware_id",
                "/update_config/force",
                "/update_config/max_retries",
                "/update_config/x",
            ],
        ),
        (
            "POST",
            "/api/v1/updates/1/retry",
            json!({"max_retries": 11, "retry_delay": "a", "x": 1}),
            vec!["/max_retries", "/retry_delay", "/x"],
        ),
        (
            "POST",
            "/api/v1/devices",
            json!({"device_id": "a b", "name": 7, "x": 1}),
            vec!["/device_id", "/name", "/x"],
        ),
        (
            "PATCH",
            "/api/v1/devices/pi-0",
            json!({"feed": "", "pinned": 7, "x": 1}),
            vec!["/feed", "/pinned", "/x"],
        ),
        (
            "PATCH",
            "/api/v1/settings",
            json!({
                "polling": {"jitter_percent": 200, "interval": 7, "x": 1},
                "access": {"proxy_authorities": ["a;b"]},
            }),
            vec![
                "/access/proxy_authorities/0",
                "/polling/interval",
                "/polling/jitter_percent",
                "/polling/x",
            ],
        ),
        (
            "POST",
            "/api/v1/gateways",
            json!({"name": "", "group": 7, "x": 1}),
            vec!["/group", "/name", "/x"],
        ),
        (
            "POST",
            "/api/v1/device-authorities",
            json!({"name": "", "certificate": 7, "x": 1}),
            vec!["/certificate", "/name", "/x"],
        ),
        (
            "POST",
            "/api/v1/campaigns/1/pause",
            json!({"reason": "x".repeat(1001), "y": 1}),
            vec!["/reason", "/y"],
        ),
        (
            "POST",
            "/api/v1/campaigns/1/move",
            json!({"revision": "latest", "replayed_until": "x", "discard_state": 1, "x": 1}),
            vec!["/discard_state", "/replayed_until", "/revision", "/x"],
        ),
        (
            "POST",
            "/api/v1/campaigns/1/approve",
            json!({"approved": "no", "approval_comment": "x".repeat(1001), "x": 1}),
            vec!["/approval_comment", "/approved", "/x"],
        ),
        (
            "POST",
            "/api/v1/plugins/acme/canary/validate",
            json!({"revision": "latest", "x": 1}),
            vec!["/config", "/revision", "/x"],
        ),
    ] {
        let response = server.send(method, path, &server.admin, &body).await;
        let (_, mut found) = response.expect_problem(422);
        found.sort();
        assert_eq!(found, fields, "{method} {path}");
    }
}

#[tokio::test]
async fn the_metadata_of_a_firmware_reports_all_errors() {
    let server = TestServer::new().await;
    let metadata = json!({"name": 7, "tags": [""], "x": 1, "modules": [{"part": "", "files": []}]});
    let parts = [
        ("metadata", None, metadata.to_string()),
        ("file", Some("a.bin"), "bytes".to_owned()),
    ];
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, file, text)| (*name, *file, text.as_bytes()))
        .collect();
    let (_, mut found) = server
        .upload("/api/v1/firmware", &parts)
        .await
        .expect_problem(422);
    found.sort();
    assert_eq!(found, ["/modules/0/part", "/name", "/tags", "/x"]);
}

#[tokio::test]
async fn all_errors_of_a_query_are_reported() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    for (method, query, fields) in [
        (
            "GET",
            "devices?limit=0&colour=red&q=hw_model%3D&sort=secret&offset=x",
            vec!["colour", "limit", "offset", "q", "sort"],
        ),
        (
            "GET",
            "devices?limit=0&q=hw_model%3D&sort=secret",
            vec!["limit", "q", "sort"],
        ),
        (
            "GET",
            "campaigns?status=sleeping&limit=0&colour=red",
            vec!["colour", "limit", "status"],
        ),
        (
            "GET",
            "firmware?is_beta=maybe&limit=0&colour=red",
            vec!["colour", "is_beta", "limit"],
        ),
        ("GET", "plugins?limit=0&colour=red", vec!["colour", "limit"]),
        (
            "GET",
            "campaigns/1/journal?after=x&limit=0&colour=red",
            vec!["after", "colour", "limit"],
        ),
        (
            "GET",
            "campaigns/1/updates?limit=0&colour=red",
            vec!["colour", "limit"],
        ),
        (
            "POST",
            "campaigns/1/journal/1/replay?revision=x&colour=red",
            vec!["colour", "revision"],
        ),
        (
            "GET",
            "devices/pi-0/updates?limit=0&colour=red",
            vec!["colour", "limit"],
        ),
        (
            "GET",
            "devices/pi-0/attributes/history?limit=0&offset=x",
            vec!["limit", "offset"],
        ),
        (
            "GET",
            "devices/pi-0/log?limit=0&update_id=x",
            vec!["limit", "update_id"],
        ),
        (
            "GET",
            "updates/1/log?limit=0&after=x",
            vec!["after", "limit"],
        ),
    ] {
        let path = format!("/api/v1/{query}");
        let response = server.send(method, &path, &server.admin, &json!({})).await;
        let (_, mut found) = response.expect_problem(422);
        found.sort();
        assert_eq!(found, fields, "{query}");
    }
}

#[tokio::test]
async fn a_rule_that_reads_an_invalid_field_is_not_reported() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let with = |fields: Value| {
        let mut body = json!({
            "name": "spring", "firmware_id": firmware, "target_groups": ["lab"],
            "strategy": {"plugin": "acme/canary"},
        });
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields) {
            body.extend(fields);
        }
        body
    };
    for (fields, expected) in [
        (
            json!({"max_retries": "a", "retry_delay": 5}),
            vec!["/max_retries"],
        ),
        (
            json!({"timeout_minutes": "a", "download_timeout_minutes": 90}),
            vec!["/timeout_minutes"],
        ),
        (json!({"target_groups": "lab"}), vec!["/target_groups"]),
        (
            json!({"update_type": "hard", "forced_at": "2026-05-01T12:00:00Z"}),
            vec!["/update_type"],
        ),
        (json!({"strategy": {"plugin": 7}}), vec!["/strategy/plugin"]),
    ] {
        let refused = server
            .post("/api/v1/campaigns", &with(fields.clone()))
            .await;
        assert_eq!(refused.expect_problem(422).1, expected, "{fields}");
    }
}

#[tokio::test]
async fn rules_of_the_request_and_of_the_engine_are_reported_together() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let body = json!({
        "name": "", "firmware_id": firmware, "target_groups": ["lab"],
        "retry_delay": 5, "policies": [{"plugin": "acme/canary", "revision": "latest"}],
    });
    let refused = server.post("/api/v1/campaigns", &body).await;
    let (code, mut fields) = refused.expect_problem(422);
    fields.sort();
    assert_eq!(code, "invalid_campaign");
    let expected = [
        "/name",
        "/policies/0/plugin",
        "/policies/0/revision",
        "/retry_delay",
        "/strategy",
    ];
    assert_eq!(fields, expected);
}

#[tokio::test]
async fn a_strategy_is_given_in_one_form() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    for (fields, expected) in [
        (json!({}), vec!["/strategy"]),
        (
            json!({"strategy": {"plugin": "acme/canary"}, "batch_size": 1}),
            vec!["/batch_size"],
        ),
        (
            json!({"deployment_strategy": "staged"}),
            vec!["/deployment_strategy"],
        ),
        (
            json!({"strategy": {"plugin": "acme/canary", "revision": "latest"}}),
            vec!["/strategy/revision"],
        ),
    ] {
        let mut body = json!({"name": "a", "firmware_id": firmware, "target_groups": ["lab"]});
        if let (Value::Object(body), Value::Object(fields)) = (&mut body, fields.clone()) {
            body.extend(fields);
        }
        let refused = server.post("/api/v1/campaigns", &body).await;
        assert_eq!(refused.expect_problem(422).1, expected, "{fields}");
    }
}
