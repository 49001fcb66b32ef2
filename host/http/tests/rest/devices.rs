//! Devices of operators.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::test_server::TestServer;

#[tokio::test]
async fn a_device_is_created_once_and_its_token_shown_once() {
    let server = TestServer::new().await;
    let device = json!({
        "device_id": "bay 7/é".replace(' ', "-"), "name": "Bay 7", "groups": ["lab"],
        "attributes": {"hw_model": "rpi4", "site": "lab-7"},
    });
    let created = server.post("/api/v1/devices", &device).await;
    let body = created.expect(201);
    assert_eq!(body["token"].as_str().map(str::len), Some(64));
    assert_eq!(
        created.headers["location"],
        "/api/v1/devices/bay-7%2F%C3%A9"
    );
    assert_eq!(created.headers["cache-control"], "no-store");

    let shown = server
        .get("/api/v1/devices/bay-7%2F%C3%A9")
        .await
        .expect(200);
    assert_eq!(shown, body["device"]);
    assert_eq!(
        (&shown["state"], &shown["name"]),
        (&json!("unknown"), &json!("Bay 7"))
    );
    assert_eq!(shown["attributes"]["site"], "lab-7");
    assert_eq!(
        server
            .post("/api/v1/devices", &device)
            .await
            .expect_problem(409)
            .0,
        "device_exists"
    );
}

#[tokio::test]
async fn an_id_that_deceives_or_is_a_word_of_a_route_is_refused() {
    for server in TestServer::on_both_databases(|_| {}).await {
        for id in [
            ".",
            "..",
            "bulk",
            "a\u{1b}[2J",
            "a\u{200b}",
            "\u{202e}a",
            "u\u{308}",
            "a b",
            "",
        ] {
            let refused = server
                .post("/api/v1/devices", &json!({ "device_id": id }))
                .await;
            let problem = refused.expect_problem(422);
            let expected = ("invalid_device".to_owned(), vec!["/device_id".to_owned()]);
            assert_eq!(problem, expected, "{id:?}");
            let text = String::from_utf8_lossy(&refused.bytes);
            assert!(!text.contains("\\u001b"), "{text}");
        }
        // Nothing is rewritten: this id is in normal form already.
        let device = json!({"device_id": "ü-7"});
        let created = server.post("/api/v1/devices", &device).await;
        assert_eq!(created.expect(201)["device"]["device_id"], "ü-7");
    }
}

#[tokio::test]
async fn devices_are_found_by_selectors_and_sorted() {
    let server = TestServer::new().await;
    for (id, site) in [("a", "lab-1"), ("b", "lab-2"), ("c", "field")] {
        let device = json!({"device_id": id, "attributes": {"site": site}});
        server.post("/api/v1/devices", &device).await.expect(201);
    }
    let found = server
        .get("/api/v1/devices?q=attribute.site==lab*&sort=device_id:desc&limit=1")
        .await;
    let found = found.expect(200);
    assert_eq!(
        (&found["total"], &found["count"], &found["limit"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(found["items"][0]["device_id"], "b");
}

#[tokio::test]
async fn a_timestamp_from_a_response_works_in_a_query() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "a"});
    server.post("/api/v1/devices", &device).await.expect(201);
    let shown = server.get("/api/v1/devices/a").await.expect(200);
    let at = shown["created_at"].as_str().expect("a time");
    for (q, total) in [
        (format!("created_at=={at}"), 1),
        (format!("created_at=ge={}", at.replace('Z', "%2B00:00")), 1),
        (format!("created_at=gt={at}"), 0),
    ] {
        let found = server.get(&format!("/api/v1/devices?q={q}")).await;
        assert_eq!(found.expect(200)["total"], total, "{q}");
    }
}

#[tokio::test]
async fn a_device_without_updates_has_empty_lists() {
    let server = TestServer::new().await;
    server
        .post("/api/v1/devices", &json!({"device_id": "a"}))
        .await
        .expect(201);
    assert_eq!(
        server.get("/api/v1/devices/a/updates").await.expect(200)["total"],
        0
    );
    let log = server.get("/api/v1/devices/a/log").await.expect(200);
    assert_eq!((&log["update"], &log["count"]), (&json!(null), &json!(0)));
    server
        .get("/api/v1/devices/a/log?update_id=7")
        .await
        .expect_problem(404);
    assert_eq!(
        server.get("/api/v1/devices/a/explain").await.expect(200)["count"],
        0
    );
}

#[tokio::test]
async fn a_device_is_changed_field_by_field() {
    let server = TestServer::new().await;
    let device = json!({
        "device_id": "a", "name": "Bay 7", "groups": ["lab"], "feed": "stable",
        "labels": {"rack": "7", "row": "b"}, "mode": "manual", "pinned": true,
    });
    let created = server.post("/api/v1/devices", &device).await.expect(201)["device"].clone();
    assert_eq!(
        (&created["mode"], &created["pinned"]),
        (&json!("manual"), &json!(true))
    );
    let patch = async |patch: serde_json::Value| {
        server
            .send("PATCH", "/api/v1/devices/a", &server.admin, &patch)
            .await
    };
    assert_eq!(patch(json!({})).await.expect(200), created);
    let changed = patch(json!({
        "feed": null, "labels": {"row": null, "column": "3"}, "mode": "latest", "pinned": false,
    }));
    let changed = changed.await.expect(200);
    assert_eq!(changed["name"], "Bay 7");
    assert_eq!(
        (&changed["feed"], &changed["mode"]),
        (&json!(null), &json!("latest"))
    );
    assert_eq!(changed["labels"], json!({"rack": "7", "column": "3"}));
    let cleared = patch(json!({"name": null, "groups": null, "labels": null, "mode": null}));
    let cleared = cleared.await.expect(200);
    assert_eq!(
        (&cleared["name"], &cleared["mode"]),
        (&json!("a"), &json!("rollout"))
    );
    assert_eq!(
        (&cleared["groups"], &cleared["labels"]),
        (&json!([]), &json!({}))
    );
    assert_eq!(server.get("/api/v1/devices/a").await.expect(200), cleared);
}

#[tokio::test]
async fn a_change_that_breaks_rules_is_refused_and_changes_nothing() {
    let server = TestServer::new().await;
    let created = server
        .post("/api/v1/devices", &json!({"device_id": "a"}))
        .await;
    let created = created.expect(201)["device"].clone();
    for (patch, fields) in [
        (json!({"nmae": "x", "pinned": true}), &["/nmae"][..]),
        (json!({"mode": "auto"}), &["/mode"]),
        (json!({"pinned": "yes"}), &["/pinned"]),
        (
            json!({"request_attributes": "all"}),
            &["/request_attributes"],
        ),
        (
            json!({"name": "x".repeat(201), "feed": ""}),
            &["/name", "/feed"],
        ),
        (
            json!({"groups": [""], "labels": {"a b": "c", "": "d"}}),
            &["/groups", "/labels"],
        ),
        (json!({"labels": {"a": "x".repeat(257)}}), &["/labels"]),
        (json!([]), &[""]),
    ] {
        let response = server
            .send("PATCH", "/api/v1/devices/a", &server.admin, &patch)
            .await;
        assert_eq!(response.expect_problem(422).1, fields, "{patch}");
    }
    let many: serde_json::Map<_, _> = (0..51).map(|n| (format!("l{n}"), json!(""))).collect();
    let many = json!({"pinned": true, "labels": many});
    let response = server
        .send("PATCH", "/api/v1/devices/a", &server.admin, &many)
        .await;
    assert_eq!(response.expect_problem(422).1, ["/labels"]);
    assert_eq!(server.get("/api/v1/devices/a").await.expect(200), created);
    let unknown = server
        .send("PATCH", "/api/v1/devices/b", &server.admin, &json!({}))
        .await;
    assert_eq!(unknown.expect_problem(404).0, "not_found");
}

#[tokio::test]
async fn a_deleted_device_is_gone() {
    let server = TestServer::new().await;
    server
        .post("/api/v1/devices", &json!({"device_id": "a"}))
        .await
        .expect(201);
    let delete = async || {
        server
            .send("DELETE", "/api/v1/devices/a", &server.admin, &json!(null))
            .await
    };
    assert_eq!(delete().await.status, 204);
    assert_eq!(delete().await.expect_problem(404).0, "not_found");
    server.get("/api/v1/devices/a").await.expect_problem(404);
    server
        .get("/api/v1/devices/a/attributes/history")
        .await
        .expect_problem(404);
    server
        .post("/api/v1/devices", &json!({"device_id": "a"}))
        .await
        .expect(201);
    let changes = server
        .get("/api/v1/devices/a/attributes/history")
        .await
        .expect(200);
    assert_eq!(changes["total"], 0);
}

#[tokio::test]
async fn devices_are_found_by_what_operators_say_of_them() {
    let server = TestServer::new().await;
    for device in [
        json!({"device_id": "a", "feed": "beta", "labels": {"rack": "7"}}),
        json!({"device_id": "b", "feed": "stable", "pinned": true}),
        json!({"device_id": "c", "mode": "manual"}),
    ] {
        server.post("/api/v1/devices", &device).await.expect(201);
    }
    for (q, expected) in [
        ("feed==beta", "a"),
        ("label.rack==7", "a"),
        ("pinned==true", "b"),
        ("mode!=rollout", "c"),
        ("drifted==true", ""),
        (
            "created_at=gt=2000-01-01T00:00:00Z;feed=in=(beta,stable)",
            "a b",
        ),
    ] {
        let found = server
            .get(&format!("/api/v1/devices?sort=feed&q={q}"))
            .await
            .expect(200);
        let ids = found["items"].as_array().into_iter().flatten();
        let ids: Vec<_> = ids
            .filter_map(|device| device["device_id"].as_str())
            .collect();
        assert_eq!(ids.join(" "), expected, "{q}");
    }
}

#[tokio::test]
async fn an_operator_activates_and_deactivates_auto_confirm() {
    const PATH: &str = "/api/v1/devices/a/auto-confirm";
    let server = TestServer::new().await;
    server
        .post("/api/v1/devices", &json!({"device_id": "a"}))
        .await
        .expect(201);
    let put = async |body| server.send("PUT", PATH, &server.admin, &body).await;
    let agreed = put(json!({"remark": "no screen"})).await.expect(200);
    let auto_confirm = &agreed["auto_confirm"];
    assert_eq!(auto_confirm["remark"], "no screen");
    assert!(auto_confirm["initiator"].is_string() && auto_confirm["activated_at"].is_string());
    // The first activation is kept.
    assert_eq!(put(json!({})).await.expect(200), agreed);
    let long = json!({"remark": "x".repeat(1001)});
    assert_eq!(put(long).await.expect_problem(422).0, "invalid_reason");

    for _ in 0..2 {
        let delete = server.send("DELETE", PATH, &server.admin, &json!(null));
        delete.await.expect(204);
    }
    let shown = server.get("/api/v1/devices/a").await.expect(200);
    assert_eq!(shown["auto_confirm"], json!(null));

    let unknown = "/api/v1/devices/b/auto-confirm";
    for method in ["PUT", "DELETE"] {
        let refused = server
            .send(method, unknown, &server.admin, &json!({}))
            .await;
        refused.expect_problem(404);
    }
    let viewer = server.key("vera", tidegate_engine::Role::Viewer).await;
    let refused = server.send("PUT", PATH, &viewer, &json!({})).await;
    assert_eq!(refused.expect_problem(403).0, "role_missing");
}

#[tokio::test]
async fn a_device_polls_as_often_as_an_operator_says() {
    let server = TestServer::new().await;
    let device = json!({"device_id": "a", "polling_interval": "00:00:10"});
    let created = server.post("/api/v1/devices", &device).await.expect(201);
    assert_eq!(created["device"]["polling_interval"], "00:00:10");
    let patch = async |interval| {
        let body = json!({"polling_interval": interval});
        server
            .send("PATCH", "/api/v1/devices/a", &server.admin, &body)
            .await
    };
    for interval in [json!("23:59:59"), json!(null)] {
        let changed = patch(interval.clone()).await.expect(200);
        assert_eq!(changed["polling_interval"], interval);
    }
    let refused = patch(json!("00:00:00")).await.expect_problem(422);
    let expected = (
        "invalid_device".to_owned(),
        vec!["/polling_interval".to_owned()],
    );
    assert_eq!(refused, expected);
}

#[tokio::test]
async fn a_device_that_has_not_polled_for_long_is_overdue_until_it_polls() {
    for server in TestServer::on_both_databases(|_| {}).await {
        server.fleet(0).await;
        for id in ["a", "b", "c"] {
            let device = json!({"device_id": id, "token": format!("token-of-16-characters-{id}")});
            server.post("/api/v1/devices", &device).await.expect(201);
        }
        let poll = async |id: &str| {
            let path = format!("/DEFAULT/controller/v1/{id}");
            let token = format!("TargetToken token-of-16-characters-{id}");
            let request = axum::http::Request::get(path)
                .header("host", "localhost")
                .header("authorization", token);
            let request = request.body(axum::body::Body::empty()).expect("a request");
            server.send_request(request).await.expect(200);
        };
        let set = async |after: serde_json::Value| {
            let change = json!({"overdue_after": after});
            let path = "/api/v1/settings";
            server
                .send("PATCH", path, &server.admin, &change)
                .await
                .expect(200)["overdue_after"]
                .clone()
        };
        // The states in the list, in the devices, by selectors and in the statistics agree.
        let states = async || {
            let list = server
                .get("/api/v1/devices?sort=device_id")
                .await
                .expect(200);
            let items = list["items"].as_array().expect("items").clone();
            let mut by_state = std::collections::BTreeMap::<String, Vec<String>>::new();
            for item in items {
                let (id, state) = (item["device_id"].as_str(), item["state"].as_str());
                let (id, state) = (id.expect("an id"), state.expect("a state"));
                let shown = server.get(&format!("/api/v1/devices/{id}")).await;
                assert_eq!(shown.expect(200)["state"], state, "{id}");
                by_state
                    .entry(state.to_owned())
                    .or_default()
                    .push(id.to_owned());
            }
            for state in ["unknown", "registered", "in_sync", "overdue"] {
                let path = format!("/api/v1/devices?sort=device_id&q=state=={state}");
                let found = server.get(&path).await.expect(200);
                let found = found["items"].as_array().expect("items").clone();
                let found: Vec<_> = found.iter().map(|item| item["device_id"].clone()).collect();
                let expected = by_state.get(state).cloned().unwrap_or_default();
                assert_eq!(json!(found), json!(expected), "{state}");
            }
            let counts: std::collections::BTreeMap<_, _> = by_state
                .iter()
                .map(|(state, ids)| (state.clone(), ids.len()))
                .collect();
            let stats = server.get("/api/v1/stats").await.expect(200);
            assert_eq!(stats["devices"]["by_state"], json!(counts));
            let lines = by_state.into_iter();
            let lines: Vec<_> = lines
                .map(|(state, ids)| format!("{state}: {}", ids.join(" ")))
                .collect();
            lines.join(", ")
        };
        let campaign = json!({"target_groups": [], "target_filter": "state==overdue"});
        let campaign = format!("{}/start", server.campaign(campaign).await);

        poll("a").await;
        poll("b").await;
        assert_eq!(set(json!("5m")).await, "00:05:00");
        assert_eq!(states().await, "registered: a b, unknown: c");
        server.clock.advance_seconds(240);
        // This poll is buffered; the stored time is the one of the registration.
        poll("b").await;
        server.clock.advance_seconds(70);
        assert_eq!(states().await, "registered: a b, unknown: c");
        let none = server.post(&campaign, &json!({})).await;
        assert_eq!(none.expect_problem(409).0, "no_devices");
        server.clock.advance_seconds(1);
        assert_eq!(states().await, "overdue: a, registered: b, unknown: c");
        server.post(&campaign, &json!({})).await.expect(200);
        let metrics = String::from_utf8(server.get("/metrics").await.bytes).expect("text");
        for line in [
            r#"tidegate_devices{state="overdue"} 1"#,
            r#"tidegate_devices{state="registered"} 1"#,
        ] {
            assert!(
                metrics.lines().any(|found| found == line),
                "{line} is not in\n{metrics}"
            );
        }
        let explained = server.get("/api/v1/devices/a/explain").await.expect(200);
        let reasons = explained["device"]["reasons"].to_string();
        assert!(reasons.contains("it is overdue"), "{reasons}");
        let path = "/api/v1/devices/a";
        let changed = server
            .send("PATCH", path, &server.admin, &json!({"name": "A"}))
            .await;
        assert_eq!(changed.expect(200)["state"], "overdue");

        // The moment it polls it is what it was, also while the time is not written.
        poll("a").await;
        assert_eq!(states().await, "registered: a b, unknown: c");
        tidegate_engine::devices::flush_last_seen(&server.state.engine)
            .await
            .expect("written");
        assert_eq!(states().await, "registered: a b, unknown: c");
        server.clock.advance_seconds(600);
        assert_eq!(states().await, "overdue: a b, unknown: c");
        assert_eq!(set(json!("10m")).await, "00:10:00");
        assert_eq!(states().await, "overdue: b, registered: a, unknown: c");
        assert_eq!(set(json!(null)).await, json!(null));
        assert_eq!(states().await, "registered: a b, unknown: c");
    }
}

#[tokio::test]
async fn a_version_that_changes_too_often_is_shown_as_unstable() {
    for server in TestServer::on_both_databases(|_| {}).await {
        let created = server
            .post("/api/v1/devices", &json!({"device_id": "pi-1"}))
            .await
            .expect(201);
        let token = created["token"].as_str().expect("a token");
        let report = async |version: &str| {
            let request = Request::put("/default/controller/v1/pi-1/configData")
                .header("host", "tide.example")
                .header("authorization", format!("TargetToken {token}"))
                .header("content-type", "application/json");
            let body = json!({"mode": "merge", "data": {"sw_version": version}}).to_string();
            let request = request.body(Body::from(body)).expect("a request");
            assert_eq!(server.send_request(request).await.status, 200);
        };
        let shown = async || {
            let device = server.get("/api/v1/devices/pi-1").await.expect(200);
            let listed = server.get("/api/v1/devices").await.expect(200);
            assert_eq!(
                listed["items"][0]["unstable_version"],
                device["unstable_version"]
            );
            let stats = server.get("/api/v1/stats").await.expect(200);
            (
                device["unstable_version"].clone(),
                stats["devices"]["by_version"].clone(),
            )
        };
        for n in 0..=60 {
            report(&format!("1.0.{n}")).await;
        }
        assert_eq!(shown().await, (json!(false), json!({"1.0.60": 1})));
        report("1.0.61").await;
        report("1.0.62").await;
        assert_eq!(shown().await, (json!(true), json!({"1.0.60": 1})));
        let explained = server.get("/api/v1/devices/pi-1/explain").await.expect(200);
        let reasons = explained["device"]["reasons"].as_array().expect("reasons");
        let unstable = |reason: &Value| {
            let reason = reason.as_str();
            reason.is_some_and(|reason| reason.starts_with("its version is unstable"))
        };
        assert!(reasons.iter().any(unstable), "{reasons:?}");
    }
}
