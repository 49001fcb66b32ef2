//! Changes of campaigns by merge patches.

use axum::body::Body;
use serde_json::{Value, json};
use tidegate_engine::Role;

use crate::test_server::{TestResponse, TestServer, request};

#[tokio::test]
async fn a_campaign_is_edited_before_its_start_and_needs_a_new_approval() {
    for server in TestServer::on_both_databases(|_| {}).await {
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
}

#[tokio::test]
async fn a_change_can_require_the_campaign_that_was_read() {
    for server in TestServer::on_both_databases(|_| {}).await {
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
}

#[tokio::test]
async fn null_resets_the_limits_of_a_campaign() {
    for server in TestServer::on_both_databases(|_| {}).await {
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
}

#[tokio::test]
async fn a_campaign_has_a_limited_number_of_editors() {
    const MAX_EDITORS: usize = 100;

    for server in TestServer::on_both_databases(|_| {}).await {
        server.fleet(1).await;
        let path = server.campaign(json!({})).await;
        let rename = async |key: &str, name: &str| {
            let change = json!({ "name": name });
            server.send("PATCH", &path, key, &change).await
        };
        let first = server.key("editor-0", Role::Operator).await;
        rename(&first, "edition 0").await.expect(200);
        for n in 1..MAX_EDITORS {
            let key = server.key(&format!("editor-{n}"), Role::Operator).await;
            rename(&key, &format!("edition {n}")).await.expect(200);
        }
        let before = server.get(&path).await.expect(200);
        let one_more = server.key("one-more", Role::Operator).await;
        let refused = rename(&one_more, "too many").await.expect_problem(409);
        assert_eq!(refused.0, "too_many_editors");
        assert_eq!(server.get(&path).await.expect(200), before);
        let name = before["name"].as_str().expect("a name");
        rename(&one_more, name).await.expect(200);
        let edited = rename(&first, "edited again").await.expect(200);
        assert_eq!(edited["edited_by"], "editor-0");
    }
}
