//! The journal of a campaign.

use std::sync::atomic::Ordering;

use serde_json::json;
use tidegate_core::time::Timestamp;

use crate::test_server::TestServer;

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
        (&json!(1), &json!("plan"), &json!("acme/canary"))
    );
    assert_eq!(
        (&entry["fuel"], &entry["peak_memory"], &entry["duration_us"]),
        (&json!(7), &json!(4096), &json!(3))
    );
    assert_eq!(entry["log"], json!(["noted"]));
    assert_eq!(
        entry["limits"],
        json!({"fuel": 50, "fuel_costs": 2, "memory_bytes": 65_536, "answer_bytes": 1024})
    );
    let replayed = server
        .post(&format!("{path}/journal/1/replay"), &json!({}))
        .await
        .expect(200);
    assert_eq!(
        replayed,
        json!({
            "same": true, "fuel_compared": true, "limits_recorded": true, "decision": {"waves": 2}, "recorded": {"waves": 2}, "fuel": 7,
            "recorded_fuel": 7,
        })
    );
    let question = server.get(&format!("{path}/journal/1/question")).await;
    assert_eq!(
        question.expect(200),
        json!({"call": "plan", "input": "question", "expect": "answer"})
    );
    let absent = server.get(&format!("{path}/journal/99/question")).await;
    absent.expect_problem(404);
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

    let component: &[u8] = b"plugin acme/staged strategy";
    let other = server
        .upload("/api/v1/plugins", &[("component", None, component)])
        .await
        .expect(201)["revision"]
        .clone();
    let other = other.as_str().expect("a digest");
    for (revision, status, code, words) in [
        (
            other,
            409,
            "other_plugin",
            "belongs to the plugin acme/staged",
        ),
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
async fn a_whole_journal_is_replayed() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path =
        server.campaign(json!({"target_groups": [], "target_devices": ["pi-0", "pi-1", "absent"]}));
    let path = path.await;
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    let journal = server.get(&format!("{path}/journal")).await.expect(200);
    let entries = journal["total"].as_u64().expect("a number");
    let replay = format!("{path}/journal/replay");
    let all = server.post(&replay, &json!({})).await.expect(200);
    assert_eq!(
        (
            &all["entries"],
            &all["same"],
            &all["different"],
            &all["next_after"]
        ),
        (
            &json!(entries),
            &json!(entries - 1),
            &json!([]),
            &json!(null)
        )
    );
    let reason = "an action of the server is not a plugin call: it cannot be replayed";
    assert_eq!(
        all["not_compared"],
        json!([{"seq": 1, "kind": "host", "code": "not_replayable", "reason": reason}])
    );
    let question = server.get(&format!("{path}/journal/1/question")).await;
    assert_eq!(question.expect_problem(409).0, "not_replayable");
    let part = format!("{replay}?limit=1&after=1");
    let part = server.post(&part, &json!({})).await.expect(200);
    assert_eq!(
        (&part["entries"], &part["next_after"]),
        (&json!(1), &json!(2))
    );

    let invalid = format!("{replay}?limit=0&revision=x");
    let invalid = server.post(&invalid, &json!({})).await;
    let invalid = invalid.expect_problem(422).1;
    assert_eq!(invalid, ["limit", "revision"]);
    let unknown = format!("{replay}?revision=sha256:{}", "0".repeat(64));
    server.post(&unknown, &json!({})).await.expect_problem(404);
}

/// A campaign whose journal has a plan.
async fn with_a_plan(server: &TestServer) -> String {
    server.fleet(2).await;
    let path = server.campaign(json!({"allow_incompatible": true})).await;
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    format!("{path}/journal")
}

#[tokio::test]
async fn a_replay_by_other_fuel_costs_says_that_it_compares_no_fuel() {
    let server = TestServer::new().await;
    let journal = with_a_plan(&server).await;
    let sandbox = &server.sandbox;
    sandbox.has_other_fuel_costs.store(true, Ordering::SeqCst);
    let (entry, whole) = (format!("{journal}/1/replay"), format!("{journal}/replay"));
    let one = server.post(&entry, &json!({})).await.expect(200);
    assert_eq!(
        (&one["same"], &one["fuel_compared"], &one["limits_recorded"]),
        (&json!(true), &json!(false), &json!(true))
    );
    let all = server.post(&whole, &json!({})).await.expect(200);
    assert_eq!(
        (
            &all["same"],
            &all["fuel_not_compared"],
            &all["limits_not_recorded"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );

    // By today's costs the call runs out of fuel. That is no other decision.
    sandbox.is_out_of_fuel.store(true, Ordering::SeqCst);
    let one = server.post(&entry, &json!({})).await;
    assert_eq!(one.expect_problem(409).0, "other_fuel_costs");
    let all = server.post(&whole, &json!({})).await.expect(200);
    assert_eq!(
        (&all["same"], &all["different"], &all["fuel_not_compared"]),
        (&json!(0), &json!([]), &json!(0))
    );
    assert_eq!(all["not_compared"][0]["code"], "other_fuel_costs");
    sandbox.has_other_fuel_costs.store(false, Ordering::SeqCst);
    let all = server.post(&whole, &json!({})).await.expect(200);
    assert_eq!(all["different"][0]["differs"], json!(["decision"]));
}

#[tokio::test]
async fn a_replay_under_limits_of_today_says_so() {
    let server = TestServer::new().await;
    server
        .sandbox
        .records_no_limits
        .store(true, Ordering::SeqCst);
    let journal = with_a_plan(&server).await;
    let entry = format!("{journal}/1/replay");
    let one = server.post(&entry, &json!({})).await.expect(200);
    assert_eq!(
        (&one["same"], &one["fuel_compared"], &one["limits_recorded"]),
        (&json!(true), &json!(false), &json!(false))
    );
    let whole = format!("{journal}/replay");
    let all = server.post(&whole, &json!({})).await.expect(200);
    assert_eq!(
        (
            &all["same"],
            &all["fuel_not_compared"],
            &all["limits_not_recorded"]
        ),
        (&json!(1), &json!(1), &json!(1))
    );
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
async fn a_removed_entry_is_not_found_and_the_others_are() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path = server.campaign(json!({})).await;
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    let journal = format!("{path}/journal");
    let before = server.get(&journal).await.expect(200);
    let stats = path.replace("/campaigns/", "/stats/campaigns/");
    let bytes = server.get(&stats).await.expect(200)["journal_bytes"].as_u64();
    let store = server.state.engine.store();
    let removed = store.remove_old_entries(Timestamp(i64::MAX), 1).await;
    assert_eq!(removed.expect("a database"), 1);

    let after = server.get(&journal).await.expect(200);
    let items = before["items"].as_array().expect("items");
    assert_eq!(after["items"], json!(items[1..]));
    assert_eq!(after["total"], json!(items.len() - 1));
    assert!(server.get(&stats).await.expect(200)["journal_bytes"].as_u64() < bytes);
    let question = server.get(&format!("{journal}/1/question")).await;
    let replay = format!("{journal}/1/replay");
    let replay = server.post(&replay, &json!({})).await;
    for response in [question, replay] {
        let detail = response.expect(404)["detail"].clone();
        let words = "there is no journal entry 1 any more: the entries up to 1 are older than";
        assert!(
            detail.as_str().is_some_and(|text| text.starts_with(words)),
            "{detail}"
        );
    }
    let whole = format!("{journal}/replay");
    let whole = server.post(&whole, &json!({})).await.expect(200);
    assert_eq!(whole["entries"], json!(items.len() - 1));
}

#[tokio::test]
async fn a_start_that_failed_is_in_the_journal() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let strategy = |fails: bool| json!({"plugin": "acme/canary", "config": {"fails": fails}});
    let spec = json!({"allow_incompatible": true, "strategy": strategy(true)});
    let path = server.campaign(spec).await;
    let start = format!("{path}/start");
    for _ in 0..2 {
        let refused = server.post(&start, &json!({})).await;
        assert_eq!(refused.expect_problem(409).0, "plan_failed");
        let detail = refused.expect(409)["detail"].clone();
        let words = "the strategy acme/canary could not plan: the plugin returned an error: no canaries (the plugin calls are in \
                     the campaign's journal)";
        assert_eq!(detail, words);
    }
    let shown = server.get(&path).await.expect(200);
    let sentences = shown["explain"].as_array().expect("sentences");
    let reason = sentences[0].as_str().expect("a sentence");
    assert!(
        reason.ends_with("could not plan: the plugin returned an error: no canaries"),
        "{reason}"
    );
    assert_eq!(sentences.len(), 2, "and what to do: {sentences:?}");
    let edit = json!({"strategy": strategy(false)});
    let admin = &server.admin;
    server.send("PATCH", &path, admin, &edit).await.expect(200);
    server.post(&start, &json!({})).await.expect(200);

    let journal = server.get(&format!("{path}/journal")).await.expect(200);
    let entries = journal["items"].as_array().expect("items").iter();
    let entries = entries
        .map(|entry| {
            json!([
                entry["seq"],
                entry["kind"],
                entry["outcome"],
                entry["applied"]
            ])
        })
        .collect::<Vec<_>>();
    assert_eq!(
        json!(entries[..5]),
        json!([
            [1, "plan", "plugin-error", false],
            [2, "host", "not_started", true],
            [3, "plan", "plugin-error", false],
            [4, "host", "not_started", true],
            [5, "plan", "ok", true],
        ])
    );
    let replay = format!("{path}/journal/3/replay");
    let replayed = server.post(&replay, &json!({})).await.expect(200);
    assert_eq!(replayed["same"], true);
    let question = server.get(&format!("{path}/journal/3/question")).await;
    let question = question.expect(200);
    assert_eq!(
        (&question["call"], &question["expect"]),
        (&json!("plan"), &json!(null))
    );
    let all = format!("{path}/journal/replay?limit=5");
    let all = server.post(&all, &json!({})).await.expect(200);
    assert_eq!((&all["same"], &all["different"]), (&json!(3), &json!([])));
}

#[tokio::test]
async fn a_move_says_what_its_replay_showed() {
    let server = TestServer::new().await;
    server.fleet(2).await;
    let path =
        server.campaign(json!({"target_groups": [], "target_devices": ["pi-0", "pi-1", "absent"]}));
    let path = path.await;
    let start = format!("{path}/start");
    server.post(&start, &json!({})).await.expect(200);
    let move_to = async |version: &str| {
        let component = format!("plugin acme/canary strategy {version}");
        let revision = server.plugin(component.as_bytes()).await["revision"].clone();
        let request = json!({"revision": revision});
        let moved = server.post(&format!("{path}/move"), &request).await;
        (revision, request, moved)
    };
    let (revision, request, moved) = move_to("1.1.0").await;
    let etag = server.get(&path).await.headers["etag"].clone();
    assert_eq!(moved.headers["etag"], etag);
    let moved = moved.expect(200);
    assert_eq!(moved["strategy"]["revision"], revision);
    let revision = revision.as_str().expect("a digest");
    let not_compared = |seen: &[(u64, &str, &str)]| -> Vec<_> {
        let counts = seen.iter().map(
            |(entries, code, reason)| json!({"entries": entries, "code": code, "reason": reason}),
        );
        counts.collect()
    };
    let by_server = "an action of the server is not a plugin call: it cannot be replayed";
    let by_other = |revision: &str, plugin: &str| {
        format!(
            "the revision {revision} belongs to the plugin acme/canary, and this entry to {plugin}"
        )
    };
    // The devices that do not exist, the plan, and the two policies.
    let expected = json!({
        "entries": 4, "same": 1, "different": 0, "fuel_not_compared": 1, "limits_not_recorded": 0,
        "removed_until": null,
        "not_compared": not_compared(&[
            (1, "not_replayable", by_server),
            (1, "other_plugin", &by_other(revision, "tidegate/hardware")),
            (1, "other_plugin", &by_other(revision, "tidegate/version-path")),
        ]),
    });
    assert_eq!(moved["replay"], expected);

    // It is there, and nothing is replayed.
    let again = server.post(&format!("{path}/move"), &request).await;
    assert_eq!(again.expect(200)["replay"], json!(null));

    let store = server.state.engine.store();
    let removed = store.remove_old_entries(Timestamp(i64::MAX), 2).await;
    assert_eq!(removed.expect("a database"), 2);
    // The devices and the first policy are gone, and the first move is an action of the server.
    let (revision, _, moved) = move_to("1.2.0").await;
    let revision = revision.as_str().expect("a digest");
    let expected = json!({
        "entries": 3, "same": 1, "different": 0, "fuel_not_compared": 1, "limits_not_recorded": 0,
        "removed_until": 2,
        "not_compared": not_compared(&[
            (1, "not_replayable", by_server),
            (1, "other_plugin", &by_other(revision, "tidegate/version-path")),
        ]),
    });
    assert_eq!(moved.expect(200)["replay"], expected);
}
