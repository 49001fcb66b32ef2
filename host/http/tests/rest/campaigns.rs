//! Campaigns from creation to end.

use axum::body::Body;
use serde_json::{Value, json};
use tidegate_core::id::CampaignId;
use tidegate_engine::{Role, ports::RunRef};

use crate::{
    statements::{last_number, release_all},
    test_server::{TestResponse, TestServer, request},
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
async fn a_rejection_ends_a_campaign_that_waits_for_approval() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let anna = server.key("anna", Role::Approver).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let reject = json!({"approved": false, "approval_comment": "the notes are missing"});
    let send = async |path: &str, key: &str, body: &Value| {
        let approve = format!("{path}/approve");
        server.send("POST", &approve, key, body).await
    };

    // It does not need an approval.
    let path = server.campaign_of(firmware, json!({})).await;
    let refused = send(&path, &anna, &reject).await.expect_problem(409);
    assert_eq!(refused.0, "not_waiting");

    let waits = json!({"requires_approval": true});
    let path = server.campaign_of(firmware, waits.clone()).await;
    let refused = send(&path, &server.admin, &reject)
        .await
        .expect_problem(403);
    assert_eq!(refused.0, "own_campaign");
    let olga = server.key("olga", Role::Operator).await;
    send(&path, &olga, &reject).await.expect_problem(403);
    let rejected = send(&path, &anna, &reject).await.expect(200);
    assert_eq!(
        (&rejected["status"], &rejected["approved"]),
        (&json!("cancelled"), &json!(false))
    );
    assert_eq!(
        rejected["explain"],
        json!(["Rejected by anna: the notes are missing"])
    );
    assert!(rejected["actual_end"].is_string(), "{rejected}");
    assert_eq!(server.get(&path).await.expect(200), rejected);
    for body in [&reject, &json!({})] {
        let refused = send(&path, &anna, body).await.expect_problem(409);
        assert_eq!(refused.0, "not_waiting");
    }
    let start = server.post(&format!("{path}/start"), &json!({})).await;
    assert_eq!(start.expect_problem(409).0, "invalid_transition");

    // It was edited after the approver read it.
    let path = server.campaign_of(firmware, waits.clone()).await;
    let approve = async |condition: &str| {
        let request = request("POST", &format!("{path}/approve"), &anna)
            .header("content-type", "application/json")
            .header("if-match", condition);
        let request = request.body(Body::from("{}")).expect("a request");
        server.send_request(request).await
    };
    let tag = async || {
        let read = server.get(&path).await;
        read.headers["etag"].to_str().expect("a tag").to_owned()
    };
    let read = tag().await;
    let changes = json!({"name": "autumn"});
    let edited = server.send("PATCH", &path, &server.admin, &changes).await;
    edited.expect(200);
    let refused = approve(&read).await.expect_problem(412);
    assert_eq!(refused.0, "precondition_failed");
    approve(&tag().await).await.expect(200);

    // An approval is not taken back.
    let path = server.campaign_of(firmware, waits).await;
    send(&path, &anna, &json!({})).await.expect(200);
    let refused = send(&path, &anna, &reject).await.expect_problem(409);
    assert_eq!(refused.0, "not_waiting");
}

#[tokio::test]
async fn a_campaign_is_edited_before_its_start_and_needs_a_new_approval() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let anna = server.key("anna", Role::Approver).await;
    let boss = server.key("boss", Role::Admin).await;
    let path = server
        .campaign(json!({
            "requires_approval": true, "priority": "high", "max_retries": 2, "retry_delay": 30,
            "requires_confirmation": true, "on_denied": "reject",
            "success_criteria": "soaked", "soak_minutes": 9,
            "policies": [], "description": "first",
        }))
        .await;
    let approve = async |key: &str| {
        let approve = format!("{path}/approve");
        server.send("POST", &approve, key, &json!({})).await
    };
    let edit = async |body: Value| server.send("PATCH", &path, &boss, &body).await;
    approve(&anna).await.expect(200);
    let before = server.get(&path).await.expect(200);

    // Nothing changes: the approval stays.
    for body in [json!({}), json!({"name": "spring", "max_retries": 2})] {
        assert_eq!(edit(body).await.expect(200), before);
    }
    let other = server.firmware("1.3.0", b"other").await;
    let edited = edit(json!({
        "name": "summer", "firmware_id": other, "target_groups": null, "target_devices": ["pi-0"],
        "requires_confirmation": false, "success_criteria": null, "max_retries": null,
        "description": null, "strategy": {"config": {"canaries": 1}}, "priority": null,
    }))
    .await
    .expect(200);
    let mut expected = before.clone();
    for (field, value) in [
        ("name", json!("summer")),
        ("firmware_id", json!(other)),
        ("target_groups", json!([])),
        ("target_devices", json!(["pi-0"])),
        ("requires_confirmation", json!(false)),
        ("on_denied", json!(null)),
        ("confirmation_timeout_minutes", json!(null)),
        ("success_criteria", json!("reported")),
        ("soak_minutes", json!(null)),
        ("max_retries", json!(0)),
        ("retry_delay", json!(60)),
        ("description", json!("")),
        ("priority", json!("normal")),
        ("approved", json!(false)),
        ("approved_by", json!(null)),
        ("approved_at", json!(null)),
        ("approval_comment", json!(null)),
        ("edited_by", json!("boss")),
    ] {
        assert_ne!(expected[field], value, "{field}");
        expected[field] = value;
    }
    expected["firmware"] = edited["firmware"].clone();
    assert_eq!(edited["firmware"]["version"], "1.3.0");
    expected["strategy"]["config"] = json!({"canaries": 1});
    assert_eq!(edited, expected);
    assert_eq!(server.get(&path).await.expect(200), edited);

    // All errors are those of creation, and nothing is stored.
    let refused = edit(json!({
        "name": "", "firmware_id": 99, "strategy": {"plugin": "nothing"}, "timeout_minutes": 4,
    }))
    .await;
    let (code, mut fields) = refused.expect_problem(422);
    fields.sort_unstable();
    let invalid = [
        "/firmware_id",
        "/name",
        "/strategy/plugin",
        "/timeout_minutes",
    ];
    assert_eq!(
        (&*code, &fields[..]),
        ("invalid_campaign", &invalid.map(str::to_owned)[..])
    );
    for body in [
        json!({"x": null}),
        json!({"x": 1}),
        json!({"name": 7, "x": 1}),
    ] {
        let (_, fields) = edit(body.clone()).await.expect_problem(422);
        assert!(fields.contains(&"/x".to_owned()), "{body}: {fields:?}");
    }
    assert_eq!(
        edit(json!({"name": null})).await.expect_problem(422).1,
        ["/name"]
    );
    assert_eq!(server.get(&path).await.expect(200), edited);

    // The editor does not approve the own change.
    let start = format!("{path}/start");
    let not_approved = server.post(&start, &json!({})).await.expect_problem(409);
    assert_eq!(not_approved.0, "not_approved");
    assert_eq!(approve(&boss).await.expect_problem(403).0, "own_campaign");
    approve(&anna).await.expect(200);
    server.post(&start, &json!({})).await.expect(200);
    let (code, fields) = edit(json!({"name": "late", "priority": "low", "note": null}))
        .await
        .expect_problem(409);
    assert_eq!(
        (&*code, fields),
        (
            "campaign_started",
            vec!["/name".to_owned(), "/note".to_owned()]
        )
    );
    let changed = edit(json!({"priority": "low"})).await.expect(200);
    assert_eq!(
        (&changed["priority"], &changed["approved"]),
        (&json!("low"), &json!(true))
    );
}

#[tokio::test]
async fn a_change_can_require_the_campaign_that_was_read() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let path = server.campaign(json!({})).await;
    let change = async |condition: &str, body: Value| {
        let request = request("PATCH", &path, &server.admin)
            .header("content-type", "application/merge-patch+json")
            .header("if-match", condition);
        let body = Body::from(body.to_string());
        server
            .send_request(request.body(body).expect("a request"))
            .await
    };
    let tag = |response: &TestResponse| {
        let tag = response.headers["etag"].to_str().expect("a tag");
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag}");
        tag.to_owned()
    };
    let first = tag(&server.get(&path).await);
    let changed = change(&first, json!({"name": "summer"})).await;
    changed.expect(200);
    let second = tag(&changed);
    assert_ne!(first, second);
    assert_eq!(tag(&server.get(&path).await), second);

    let lost = change(&first, json!({"name": "autumn"})).await;
    assert_eq!(lost.expect_problem(412).0, "precondition_failed");
    assert_eq!(server.get(&path).await.expect(200)["name"], "summer");
    change("*", json!({"name": "winter"})).await.expect(200);
    let third = tag(&server.get(&path).await);

    // A change that is not one keeps the tag, and a start makes another one.
    let same = change(&third, json!({"name": "winter"})).await;
    same.expect(200);
    assert_eq!(tag(&same), third);
    server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
    let late = change(&third, json!({"priority": "low"})).await;
    assert_eq!(late.expect_problem(412).0, "precondition_failed");
    let fourth = tag(&server.get(&path).await);
    let changed = change(&format!("{first}, {fourth}"), json!({"priority": "low"})).await;
    assert_eq!(changed.expect(200)["priority"], "low");
    assert_eq!(tag(&changed), tag(&server.get(&path).await));
}

#[tokio::test]
async fn a_campaign_that_never_started_is_deleted() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.1.0", b"new").await;
    let delete = async |path: &str, key: &str| server.send("DELETE", path, key, &json!(null)).await;
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

/// Between the end of the last device and the next decision.
#[tokio::test]
async fn a_campaign_is_not_shown_as_done_before_it_has_ended() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path = server
        .campaign(json!({
            "allow_incompatible": true,
            "strategy": {"plugin": "canary", "config": {"canaries": 1}},
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
async fn an_approval_comes_from_another_user_and_before_the_start() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let path = server.campaign(json!({"requires_approval": true})).await;
    assert_eq!(
        server
            .post(&format!("{path}/start"), &json!({}))
            .await
            .expect_problem(409)
            .0,
        "not_approved"
    );
    let approve = format!("{path}/approve");
    assert_eq!(
        server
            .post(&approve, &json!({}))
            .await
            .expect_problem(403)
            .0,
        "own_campaign"
    );
    let operator = server.key("olga", Role::Operator).await;
    server
        .send("POST", &approve, &operator, &json!({}))
        .await
        .expect_problem(403);
    let approver = server.key("anna", Role::Approver).await;
    let comment = json!({"approved": true, "approval_comment": "looks good"});
    let after = server
        .send("POST", &approve, &approver, &comment)
        .await
        .expect(200);
    assert_eq!(
        (&after["approved_by"], &after["approval_comment"]),
        (&json!("anna"), &json!("looks good"))
    );
    server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
}

#[tokio::test]
async fn all_errors_of_a_campaign_are_reported_together() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let firmware = server.firmware("1.0.0", b"x").await;
    let bad = json!({
        "name": "x".repeat(201), "firmware_id": firmware, "timeout_minutes": 4, "failure_threshold_percent": 0,
        "strategy": {"plugin": "canary", "config": {"bad": 1}}, "policies": [{"plugin": "nothing"}],
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
            json!({"name": "a", "firmware_id": 1, "strategy": {"plugin": "canary", "confg": {}}}),
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
async fn the_journal_can_be_replayed() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path = server.campaign(json!({"allow_incompatible": true})).await;
    server
        .post(&format!("{path}/start"), &json!({}))
        .await
        .expect(200);
    let journal = server.get(&format!("{path}/journal")).await.expect(200);
    let entry = &journal["items"][0];
    assert_eq!(
        (&entry["seq"], &entry["kind"], &entry["plugin"]),
        (&json!(1), &json!("plan"), &json!("canary"))
    );
    assert_eq!(
        (&entry["fuel"], &entry["duration_us"]),
        (&json!(7), &json!(3))
    );
    let replayed = server
        .post(&format!("{path}/journal/1/replay"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        replayed,
        json!({
            "same": true, "decision": {"waves": 2}, "recorded": {"waves": 2}, "fuel": 7, "recorded_fuel": 7,
        })
    );
    server
        .post(&format!("{path}/journal/99/replay"), &json!({}))
        .await
        .expect_problem(404);
    let wrong = server
        .post(
            &format!("{path}/journal/1/replay?revision=latest"),
            &json!({}),
        )
        .await;
    assert_eq!(wrong.expect_problem(422).1, ["revision"]);

    let component: &[u8] = b"plugin staged strategy";
    let other = server
        .upload("/api/v1/plugins", &[("component", None, component)])
        .await
        .expect(201)["revision"]
        .clone();
    let other = other.as_str().expect("a digest");
    for (revision, status, code, words) in [
        (other, 409, "other_plugin", "belongs to the plugin staged"),
        (
            &format!("sha256:{}", "0".repeat(64)),
            404,
            "not_found",
            "there is no plugin revision",
        ),
    ] {
        let replay = format!("{path}/journal/1/replay?revision={revision}");
        let response = server.post(&replay, &json!({})).await;
        let detail = response.expect(status)["detail"].clone();
        assert_eq!(response.expect_problem(status).0, code);
        assert!(
            detail.as_str().is_some_and(|text| text.contains(words)),
            "{detail}"
        );
    }
}

#[tokio::test]
async fn the_journal_lists_unknown_target_devices() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let named = json!({
        "target_groups": [],
        "target_devices": ["pi-0", "g7", "g1", "g2", "g3", "g4", "g5", "g6", "g1"],
    });
    let path = server.campaign(named).await;
    // A device may be created until the campaign starts.
    let late = json!({"device_id": "g7"});
    server.post("/api/v1/devices", &late).await.expect(201);
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["total_devices"], 2);
    let journal = server.get(&format!("{path}/journal")).await.expect(200);
    let entry = &journal["items"][0];
    assert_eq!(
        (&entry["kind"], &entry["outcome"], &entry["explain"][0]),
        (
            &json!("host"),
            &json!("missing"),
            &json!(
                "6 of the devices in target_devices do not exist and are not included: g1, g2, g3, g4, g5 and 1 more"
            )
        )
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
async fn null_resets_the_limits_of_a_campaign() {
    let server = TestServer::new().await;
    server.fleet(1).await;
    let path = server
        .campaign(json!({"priority": "high", "max_concurrent_updates": 3}))
        .await;
    let change = async |body: Value| server.send("PATCH", &path, &server.admin, &body).await;
    let largest = i64::MAX.unsigned_abs();
    for (body, priority, limit) in [
        (json!({}), "high", json!(3)),
        (
            json!({"max_concurrent_updates": largest}),
            "high",
            json!(largest),
        ),
        (json!({"max_concurrent_updates": null}), "high", json!(null)),
        (json!({"priority": null}), "normal", json!(null)),
    ] {
        let changed = change(body.clone()).await.expect(200);
        let found = (&changed["priority"], &changed["max_concurrent_updates"]);
        assert_eq!(found, (&json!(priority), &limit), "{body}");
        assert_eq!(server.get(&path).await.expect(200), changed);
    }
    for limit in [0, largest + 1] {
        let refused = change(json!({"max_concurrent_updates": limit})).await;
        let (code, fields) = refused.expect_problem(422);
        assert_eq!(
            (&*code, fields),
            (
                "invalid_campaign",
                vec!["/max_concurrent_updates".to_owned()]
            )
        );
    }
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
        "strategy": {"plugin": "canary"},
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
