//! Campaigns from creation to end.

use std::{cell::Cell, sync::atomic::Ordering, time::Duration};

use serde_json::{Value, json};
use tidegate_core::id::CampaignId;
use tidegate_engine::{Role, ports::RunRef};

use crate::{
    statements::{last_number, release_all, start},
    test_server::TestServer,
};

#[tokio::test]
async fn a_campaign_is_created_started_changed_and_ended() {
    let server = TestServer::new().await;
    server.fleet(3).await;
    let path = server
        .campaign(json!({"priority": "high", "max_concurrent_updates": 2, "note": "ticket 7"}))
        .await;
    let created = server.get(&path).await.expect(200);
    assert_eq!(
        (&created["status"], &created["waves"]),
        (&json!("created"), &json!([]))
    );
    assert_eq!(created["strategy"]["config"], json!({}));
    assert_eq!(created["note"], "ticket 7");
    assert_eq!(created["firmware"]["version"], "1.1.0");
    assert_eq!(
        (&created["timeout_minutes"], &created["created_by"]),
        (&json!(60), &json!("admin"))
    );

    let started = server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        (&started["status"], &started["total_devices"]),
        (&json!("in_progress"), &json!(3))
    );
    assert_eq!(started["pending_devices"], 3);
    let waves = server.get(&format!("{path}/waves")).await.expect(200);
    assert_eq!(waves["items"], started["waves"]);
    assert_eq!(waves["items"][1]["total"], 2);
    let again = server.post(&format!("{path}/start"), &json!({})).await;
    assert_eq!(again.expect_problem(409).0, "invalid_transition");

    let paused = server
        .post(&format!("{path}/pause"), &json!({"reason": "lunch"}))
        .await
        .expect(200);
    assert_eq!(
        (&paused["status"], &paused["explain"]),
        (&json!("paused"), &json!(["Paused by admin: lunch"]))
    );
    let resumed = server
        .post(&format!("{path}/resume"), &json!({}))
        .await
        .expect(200);
    assert_eq!(resumed["status"], "in_progress");
    let not_next = server
        .post(&format!("{path}/waves/1/advance"), &json!({}))
        .await;
    assert_eq!(not_next.expect_problem(409).0, "not_next");
    let advanced = server
        .post(&format!("{path}/waves/0/advance"), &json!({}))
        .await
        .expect(202);
    assert_eq!(
        (&advanced["applied"], &advanced["reason"]),
        (&json!(null), &json!(null))
    );
    let advance = &advanced["waves"][0]["advance"];
    assert_eq!(
        (&advance["by"], &advance["applied"]),
        (&json!("admin"), &json!(null))
    );
    server
        .post(&format!("{path}/waves/9/advance"), &json!({}))
        .await
        .expect_problem(404);

    let change = json!({"priority": "emergency", "max_concurrent_updates": 5});
    let changed = server
        .send("PATCH", &path, &server.admin, &change)
        .await
        .expect(200);
    assert_eq!(
        (&changed["priority"], &changed["max_concurrent_updates"]),
        (&json!("emergency"), &json!(5))
    );
    let renamed = server
        .send("PATCH", &path, &server.admin, &json!({"name": "x"}))
        .await;
    assert_eq!(
        renamed.expect_problem(409),
        ("campaign_started".to_owned(), vec!["/name".to_owned()])
    );

    let cancelled = server
        .post(&format!("{path}/cancel"), &json!({"reason": "enough"}))
        .await
        .expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    let back = json!({"reason": "all of it", "scope": "everything"});
    let back = server
        .post(&format!("{path}/rollback"), &back)
        .await
        .expect(200);
    assert_eq!(
        (&back["status"], &back["rollback"]["by"]),
        (&json!("rolling_back"), &json!("admin"))
    );
    let listed = server
        .get("/api/v1/campaigns?status=rolling_back")
        .await
        .expect(200);
    assert_eq!(
        (&listed["total"], &listed["items"][0]["waves"]),
        (&json!(1), &Value::Null)
    );
    let stats = path.replace("/campaigns", "/stats/campaigns");
    assert_eq!(server.get(&stats).await.expect(200)["counts"]["pending"], 3);
}

#[tokio::test]
async fn a_campaign_is_advanced_past_the_gate_that_it_waits_at() {
    // A gate inside a wave has no decision on a wave to wait for.
    for (before, status, applied) in [
        (json!(0), 200, json!(true)),
        (json!(null), 202, json!(null)),
    ] {
        let decision_wait = Duration::from_mins(1);
        let server = TestServer::with(|settings| settings.decision_wait = decision_wait).await;
        server.fleet(2).await;
        let config = json!({"gate": {"name": "go live", "before": before}});
        let strategy = json!({"plugin": "acme/canary", "config": config});
        let path = server.campaign(json!({"strategy": strategy})).await;
        let run = start(&server, &path).await;
        let advance = async |gate: &str| {
            let path = format!("{path}/gates/{gate}/advance");
            server.post(&path, &json!({})).await
        };
        let not_awaited = async |gate: &str, waits: &str| {
            let refused = advance(gate).await;
            assert_eq!(refused.expect_problem(409).0, "not_awaited");
            let detail = refused.expect(409)["detail"].to_string();
            assert!(detail.contains(waits), "{detail}");
        };
        not_awaited("go%20live", "it waits at no gate").await;

        let tick = async || {
            let tick = tidegate_engine::campaigns::tick(&server.state.engine, run);
            Box::pin(tick).await.expect("a tick");
        };
        tick().await;
        let waiting = server.get(&path).await.expect(200)["awaiting"].clone();
        assert_eq!(
            (&waiting["gate"], &waiting["wave"]),
            (&json!("go live"), &before)
        );
        not_awaited("another", "it waits at the gate 'go live'").await;
        let is_answered = Cell::new(false);
        let advanced = async {
            let answer = advance("go%20live").await;
            is_answered.set(true);
            answer.expect(status)
        };
        // None is cancelled, which would keep its lease.
        let ticks = async {
            while !is_answered.get() {
                tick().await;
            }
        };
        let (advanced, ()) = tokio::join!(advanced, ticks);
        assert_eq!(advanced["applied"], applied);
        assert_eq!(advanced["reason"].is_null(), applied.is_null());
        // The answer may come before the updates of a decision, but a whole tick has both.
        tick().await;
        let updates = server.get(&format!("{path}/updates")).await.expect(200);
        assert_eq!(updates["total"], 1);
        assert_eq!(server.get(&path).await.expect(200)["awaiting"], json!(null));
        not_awaited("go%20live", "it waits at no gate").await;
    }
}

#[tokio::test]
async fn a_campaign_whose_plugin_the_server_cannot_run_is_not_resumed() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path = server.campaign(json!({"allow_incompatible": true})).await;
    start(&server, &path).await;
    let (engine, speaks_other) = (&server.state.engine, &server.sandbox.is_of_later_server);
    speaks_other.store(true, Ordering::SeqCst);
    let left = tidegate_engine::campaigns::leave_unknown_contracts(engine).await;
    assert!(left.expect("it answers"));
    let held = server.get(&path).await.expect(200);
    assert_eq!(held["status"], "held");

    let resume = format!("{path}/resume");
    let refused = server.post(&resume, &json!({})).await;
    assert_eq!(refused.expect_problem(409).0, "unknown_contract");
    let detail = refused.expect(409)["detail"].clone();
    assert_eq!(detail, held["hold"]["reason"]);
    let detail = detail.as_str().expect("a text");
    for words in [
        "acme/canary was built for version 1.0.0 of the plugin contract; this server speaks 2.0.0.",
        "Move the campaign to a revision that was built for it, and resume it.",
    ] {
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(server.get(&path).await.expect(200)["status"], "held");
    speaks_other.store(false, Ordering::SeqCst);
    let resumed = server.post(&resume, &json!({})).await.expect(200);
    assert_eq!(resumed["status"], "in_progress");
}

#[tokio::test]
async fn a_campaign_that_never_started_is_deleted() {
    for server in TestServer::on_both_databases(|_| {}).await {
        server.fleet(1).await;
        let firmware = server.firmware("1.1.0", b"new").await;
        let delete =
            async |path: &str, key: &str| server.send("DELETE", path, key, &json!(null)).await;
        let viewer = server.key("vera", Role::Viewer).await;
        let firmware_path = format!("/api/v1/firmware/{firmware}");
        let created = server.campaign_of(firmware, json!({})).await;
        let cancelled = server.campaign_of(firmware, json!({})).await;
        let cancel = format!("{cancelled}/cancel");
        server.post(&cancel, &json!({})).await.expect(200);
        let in_use = delete(&firmware_path, &server.admin).await;
        assert_eq!(in_use.expect_problem(409).0, "firmware_in_use");

        for path in [&created, &cancelled] {
            delete(path, &viewer).await.expect_problem(403);
            delete(path, &server.admin).await.expect(204);
            server.get(path).await.expect_problem(404);
            delete(path, &server.admin).await.expect_problem(404);
        }
        let listed = server.get("/api/v1/campaigns").await.expect(200);
        assert_eq!(listed["total"], 0);
        let stats = server.get("/api/v1/stats").await.expect(200);
        assert_eq!(stats["campaigns"]["total"], 0);

        let started = server.campaign_of(firmware, json!({})).await;
        let start = format!("{started}/start");
        server.post(&start, &json!({})).await.expect(200);
        for step in ["", "/cancel"] {
            if !step.is_empty() {
                let path = format!("{started}{step}");
                server.post(&path, &json!({})).await.expect(200);
            }
            let refused = delete(&started, &server.admin).await;
            assert_eq!(refused.expect_problem(409).0, "campaign_started");
        }
        // The deleted campaigns do not use the firmware any more.
        let other = server.firmware("1.2.0", b"newer").await;
        let unstarted = server.campaign_of(other, json!({})).await;
        delete(&unstarted, &server.admin).await.expect(204);
        let other = format!("/api/v1/firmware/{other}");
        delete(&other, &server.admin).await.expect(204);
    }
}

/// Between the end of the last device and the next decision.
#[tokio::test]
async fn a_campaign_is_not_shown_as_done_before_it_has_ended() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path = server
        .campaign(json!({
            "allow_incompatible": true,
            "strategy": {"plugin": "acme/canary", "config": {"canaries": 1}},
        }))
        .await;
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    let run = RunRef {
        tenant: server.tenant.id,
        campaign: CampaignId(last_number(&path)),
    };
    release_all(&server, run, Vec::new()).await;
    let tick = async || {
        Box::pin(tidegate_engine::campaigns::tick(&server.state.engine, run))
            .await
            .expect("a tick");
    };
    tick().await;
    let shown = server.get(&path).await.expect(200);
    assert_eq!(
        (&shown["in_progress_devices"], &shown["progress_percentage"]),
        (&json!(2), &json!(0.0))
    );

    let updates = server.get(&format!("{path}/updates")).await.expect(200);
    let ended = "all devices have ended; the next decision is due";
    for (update, percentage, is_over) in [
        (&updates["items"][0], 50.0, false),
        (&updates["items"][1], 99.9, true),
    ] {
        let cancel = format!("/api/v1/updates/{}/cancel", update["update_id"]);
        server.post(&cancel, &json!({})).await.expect(200);
        server
            .post(&cancel, &json!({"force": true}))
            .await
            .expect(200);
        let shown = server.get(&path).await.expect(200);
        let listed = server.get("/api/v1/campaigns").await.expect(200);
        let stats = path.replace("/campaigns", "/stats/campaigns");
        let stats = server.get(&stats).await.expect(200);
        for body in [&shown, &listed["items"][0], &stats] {
            assert_eq!(
                (&body["status"], &body["progress_percentage"]),
                (&json!("in_progress"), &json!(percentage)),
                "{body}"
            );
        }
        for body in [&shown, &listed["items"][0]] {
            assert_eq!(body["in_progress_devices"] == 0, is_over, "{body}");
            assert_eq!(body["explain"] == json!([ended]), is_over, "{body}");
        }
    }

    // The decision has its own explanation.
    tick().await;
    let shown = server.get(&path).await.expect(200);
    assert_ne!(shown["explain"], json!([ended]));
    let cancel = format!("{path}/cancel");
    server.post(&cancel, &json!({})).await.expect(200);
    let shown = server.get(&path).await.expect(200);
    assert_eq!(
        (&shown["status"], &shown["progress_percentage"]),
        (&json!("cancelled"), &json!(100.0))
    );
    assert_eq!(shown["explain"], json!(["Cancelled by admin"]));
}

#[tokio::test]
async fn all_errors_of_a_campaign_are_reported_together() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.0.0", b"x").await;
    let bad = json!({
        "name": "x".repeat(201), "firmware_id": firmware, "timeout_minutes": 4, "failure_threshold_percent": 0,
        "strategy": {"plugin": "acme/canary", "config": {"bad": 1}}, "policies": [{"plugin": "nothing"}],
    });
    let (code, mut fields) = server
        .post("/api/v1/campaigns", &bad)
        .await
        .expect_problem(422);
    fields.sort_unstable();
    assert_eq!(code, "invalid_campaign");
    assert_eq!(
        fields,
        [
            "/failure_threshold_percent",
            "/name",
            "/policies/0/plugin",
            "/strategy/config/bad",
            "/target_filter",
            "/timeout_minutes",
        ]
    );
    for (body, code) in [
        (
            json!({"name": "a", "firmware_id": 1, "target_groups": ["lab"], "deployment_strategy": "scheduled"}),
            "invalid_campaign",
        ),
        (
            json!({"name": "a", "firmware_id": 1, "target_groups": ["lab"], "deployment_strategy": "sometimes"}),
            "wrong_type",
        ),
        (json!({"name": "a", "firmware_id": "1"}), "wrong_type"),
        (json!({"name": "a"}), "wrong_type"),
        (
            json!({"name": "a", "firmware_id": 1, "strategy": {"plugin": "acme/canary", "confg": {}}}),
            "unknown_field",
        ),
    ] {
        assert_eq!(
            server
                .post("/api/v1/campaigns", &body)
                .await
                .expect_problem(422)
                .0,
            code,
            "{body}"
        );
    }
    assert_eq!(
        server.get("/api/v1/campaigns").await.expect(200)["total"],
        0
    );
}

#[tokio::test]
async fn a_firmware_that_is_rolled_out_is_not_deleted() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let path = server.campaign(json!({})).await;
    let firmware = server.get(&path).await.expect(200)["firmware_id"].clone();
    let firmware = format!("/api/v1/firmware/{firmware}");
    let refused = server
        .send("DELETE", &firmware, &server.admin, &json!(null))
        .await;
    assert_eq!(refused.expect_problem(409).0, "firmware_in_use");
    server
        .post(&format!("{path}/cancel"), &json!({}))
        .await
        .expect(200);
    server
        .send("DELETE", &firmware, &server.admin, &json!(null))
        .await
        .expect(204);
}

#[tokio::test]
async fn a_device_is_explained() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let path = server.campaign(json!({})).await;
    let all = "/api/v1/devices/pi-0/explain";
    let explained = server.get(all).await.expect(200);
    assert_eq!(explained["total"], 0, "it has not started");
    let id = path.rsplit('/').next().expect("an id");
    let explained = server
        .get(&format!("{all}?campaign_id={id}"))
        .await
        .expect(200);
    assert_eq!(explained["items"][0]["standing"], "not_started");
    assert_eq!(
        explained["items"][0]["reasons"][0],
        "the campaign has not started"
    );
    let unknown = server.get(&format!("{all}?campaign_id=77")).await;
    assert_eq!(unknown.expect_problem(404).0, "not_found");
}

#[tokio::test]
async fn a_maintenance_window_is_shown_and_an_invalid_one_refused() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let window =
        json!({"schedule": "0 0 2 ? * SUN", "duration": "2h", "timezone": "Europe/Berlin"});
    let path = server.campaign(json!({"maintenance_window": window})).await;
    let created = server.get(&path).await.expect(200);
    let shown = json!({
        "schedule": "0 0 2 ? * SUN", "duration": "02:00:00", "timezone": "Europe/Berlin", "prefetch": false,
    });
    assert_eq!(created["maintenance_window"], shown);

    let refused = json!({
        "name": "autumn", "firmware_id": created["firmware_id"], "target_groups": ["lab"],
        "strategy": {"plugin": "acme/canary"},
        "maintenance_window": {"schedule": "daily", "duration": "169h", "timezone": "", "prefetch": true},
    });
    let fields = server
        .post("/api/v1/campaigns", &refused)
        .await
        .expect_problem(422);
    let all =
        ["schedule", "duration", "timezone"].map(|field| format!("/maintenance_window/{field}"));
    assert_eq!(fields, ("invalid_campaign".to_owned(), all.to_vec()));
    for missing in &all {
        let mut incomplete = refused.clone();
        incomplete["maintenance_window"] = shown.clone();
        let name = missing.rsplit('/').next().expect("a name");
        let window = incomplete["maintenance_window"].as_object_mut();
        window.expect("an object").remove(name);
        let fields = server
            .post("/api/v1/campaigns", &incomplete)
            .await
            .expect_problem(422);
        assert_eq!(fields, ("wrong_type".to_owned(), vec![missing.clone()]));
    }
    let mut unknown = refused;
    unknown["maintenance_window"] =
        json!({"schedule": "0 2 * * *", "duration": "1h", "timezone": "UTC", "jitter": 1});
    let refused = server
        .post("/api/v1/campaigns", &unknown)
        .await
        .expect_problem(422);
    assert_eq!(refused.1, ["/maintenance_window/jitter"]);
}
