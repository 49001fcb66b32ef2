//! Retries of updates that another user has to approve, or had to.

use serde_json::{Value, json};
use tidegate_engine::Role;

use super::on_both;

#[tokio::test]
async fn the_retry_of_a_forced_update_waits_unless_it_was_approved_as_it_is() {
    on_both(async |fixture| {
        let forced = async || {
            let created = fixture.update(0, true).await;
            created["update_id"].clone()
        };
        // Before the tenant required approval.
        fixture.set(json!(false)).await;
        let old = forced().await;
        assert_eq!(fixture.status(&old).await, "offered");
        fixture.cancel(&old).await;
        let plain = fixture.update(1, false).await["update_id"].clone();
        fixture.cancel(&plain).await;
        fixture.set(json!(true)).await;
        let retried = fixture.retry(&plain, json!({})).await;
        assert_eq!(retried["status"], "offered", "it was not forced");
        let retried = fixture.retry(&old, json!({})).await;
        assert_eq!(retried["status"], "waiting_approval");
        let id = retried["update_id"].clone();
        assert!(!fixture.is_shown(0).await);
        let creator = fixture.server.key("olga", Role::Admin).await;
        let refused = fixture.decide(&creator, &id, json!({})).await;
        assert_eq!(refused.expect_problem(403).0, "own_update");
        fixture
            .decide(&fixture.approver, &id, json!({}))
            .await
            .expect(200);
        assert_eq!(fixture.status(&id).await, "offered");

        // It is approved now, and so is its retry, and the retry of that, with the same options.
        fixture.cancel(&id).await;
        let second = fixture.retry(&id, json!({})).await;
        assert_eq!(
            (&second["status"], &second["approval"]["decided_by"]),
            (&json!("offered"), &json!("ada"))
        );
        assert!(fixture.is_shown(0).await);
        let second = second["update_id"].clone();
        fixture.cancel(&second).await;
        let third = fixture.retry(&second, json!({})).await;
        assert_eq!(third["status"], "offered");
        let third = third["update_id"].clone();
        fixture.cancel(&third).await;
        for options in [json!({"max_retries": 3}), json!({"note": "again"})] {
            let changed = fixture.retry(&third, options).await;
            assert_eq!(changed["status"], "waiting_approval");
            let changed = changed["update_id"].clone();
            let reject = json!({"approved": false});
            fixture
                .decide(&fixture.approver, &changed, reject)
                .await
                .expect(200);
        }
    })
    .await;
}

#[tokio::test]
async fn no_author_of_a_retried_update_decides_on_its_retry() {
    on_both(async |fixture| {
        let server = &fixture.server;
        let (bob, carol) = (
            server.key("bob", Role::Operator).await,
            server.key("carol", Role::Operator).await,
        );
        let mut approvers = Vec::new();
        for user in ["carol", "bob", "olga"] {
            approvers.push(server.key(user, Role::Admin).await);
        }
        let retry = async |key: &str, id: &Value| {
            let path = format!("/api/v1/updates/{id}/retry");
            let retried = server.send("POST", &path, key, &json!({})).await;
            retried.expect(201)
        };

        // Before the tenant required approval.
        fixture.set(json!(false)).await;
        let forced = fixture.update(0, true).await["update_id"].clone();
        fixture.cancel(&forced).await;
        let of_forced = retry(&bob, &forced).await;
        assert_eq!(of_forced["status"], "offered");
        let of_forced = of_forced["update_id"].clone();
        fixture.cancel(&of_forced).await;
        let bulk = fixture.bulk(&["pi-1"]).await["accepted"][0]["update_id"].clone();
        fixture.cancel(&bulk).await;
        let of_bulk = retry(&bob, &bulk).await["update_id"].clone();
        fixture.cancel(&of_bulk).await;

        fixture.set(json!(true)).await;
        for (device, id) in [(0, of_forced), (1, of_bulk)] {
            let retried = retry(&carol, &id).await;
            assert_eq!(retried["status"], "waiting_approval", "device {device}");
            assert!(!fixture.is_shown(device).await);
            let id = &retried["update_id"];
            let path = format!("/api/v1/devices/pi-{device}/explain");
            let explained = server.get(&path).await.expect(200).to_string();
            let waits = "waits for the approval of another user than carol and bob and olga";
            assert!(explained.contains(waits), "{explained}");
            for author in &approvers {
                for decision in [json!({}), json!({"approved": false})] {
                    let refused = fixture.decide(author, id, decision).await;
                    assert_eq!(refused.expect_problem(403).0, "own_update");
                }
            }
            let approved = fixture.decide(&fixture.approver, id, json!({})).await;
            approved.expect(200);
            assert!(fixture.is_shown(device).await);
        }
    })
    .await;
}
