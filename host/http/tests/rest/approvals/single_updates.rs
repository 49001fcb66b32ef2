//! Updates and rollbacks of single devices that another user has to approve.

use serde_json::{Value, json};
use tidegate_engine::Role;

use super::on_both;

#[tokio::test]
async fn a_forced_update_waits_until_another_user_approves_it() {
    on_both(async |fixture| {
        let update = fixture.update(0, true).await;
        let id = &update["update_id"];
        assert_eq!(
            (&update["status"], &update["timeout_at"]),
            (&json!("waiting_approval"), &json!(null))
        );
        assert_eq!(
            (
                &update["approval"]["approval_id"],
                &update["approval"]["requested_by"]
            ),
            (id, &json!("olga"))
        );
        assert_eq!(update["approval"]["approved"], json!(null));
        assert!(!fixture.is_shown(0).await);
        assert_eq!(fixture.device_statuses(0, id).await, (404, 410));

        // Its creator cannot approve it, whatever the role, and others need the role.
        let creator = fixture.server.key("olga", Role::Admin).await;
        for body in [json!({}), json!({"approved": false})] {
            let refused = fixture.decide(&creator, id, body.clone()).await;
            assert_eq!(refused.expect_problem(403).0, "own_update");
            let refused = fixture.decide(&fixture.operator, id, body).await;
            assert_eq!(refused.expect_problem(403).0, "role_missing");
        }
        assert_eq!(fixture.status(id).await, "waiting_approval");

        let body = json!({"approval_comment": "checked"});
        let decided = fixture
            .decide(&fixture.approver, id, body)
            .await
            .expect(200);
        assert_eq!(
            (&decided["updates"], &decided["approved"]),
            (&json!(1), &json!(true))
        );
        assert_eq!(
            (&decided["decided_by"], &decided["comment"]),
            (&json!("ada"), &json!("checked"))
        );
        assert_eq!(fixture.status(id).await, "offered");
        assert!(fixture.is_shown(0).await);
        let shown = fixture
            .server
            .get(&format!("/api/v1/updates/{id}"))
            .await
            .expect(200);
        assert_eq!(shown["approval"]["decided_by"], "ada");
        assert!(shown["timeout_at"].is_string());
        let log = fixture
            .server
            .get(&format!("/api/v1/updates/{id}/log"))
            .await
            .expect(200);
        assert_eq!(log["lines"][0]["text"], "approved by ada: checked");
        let again = fixture.decide(&fixture.approver, id, json!({})).await;
        assert_eq!(again.expect_problem(409).0, "not_waiting");
    })
    .await;
}

#[tokio::test]
async fn an_update_without_force_needs_no_approval() {
    on_both(async |fixture| {
        let update = fixture.update(0, false).await;
        assert_eq!(
            (&update["status"], &update["approval"]),
            (&json!("offered"), &json!(null))
        );
        assert!(fixture.is_shown(0).await);
        let refused = fixture
            .decide(&fixture.approver, &update["update_id"], json!({}))
            .await;
        assert_eq!(refused.expect_problem(409).0, "not_waiting");
        let unknown = fixture
            .decide(&fixture.approver, &json!(987_654), json!({}))
            .await;
        assert_eq!(unknown.expect_problem(404).0, "not_found");
        let long = json!({"approval_comment": "x".repeat(1001), "approve": true});
        let invalid = fixture
            .decide(&fixture.approver, &update["update_id"], long)
            .await;
        assert_eq!(
            invalid.expect_problem(422).1,
            ["/approve", "/approval_comment"]
        );
    })
    .await;
}

#[tokio::test]
async fn a_forced_rollback_waits_and_another_one_does_not() {
    on_both(async |fixture| {
        let server = &fixture.server;
        let installed = fixture.update(0, false).await["update_id"].clone();
        assert_eq!(fixture.device_statuses(0, &installed).await, (200, 200));
        let (old, other) = (
            server.firmware("1.0.9", b"old").await,
            server.firmware("1.2.0", b"other").await,
        );
        let path = "/api/v1/devices/pi-0/rollback";
        let roll_back = async |body: Value| {
            let created = server.send("POST", path, &fixture.operator, &body).await;
            created.expect(201)
        };
        let plain = roll_back(json!({"target_version": "1.0.9"})).await;
        assert_eq!(
            (&plain["status"], &plain["approval"]),
            (&json!("offered"), &json!(null))
        );
        fixture.cancel(&plain["update_id"]).await;
        let body = json!({"firmware_id": other});
        let update = "/api/v1/devices/pi-0/update";
        let open = server.post(update, &body).await.expect(201)["update_id"].clone();
        let pin = json!({"pinned": true});
        let device = "/api/v1/devices/pi-0";
        server
            .send("PATCH", device, &server.admin, &pin)
            .await
            .expect(200);

        let forced = roll_back(json!({"target_version": "1.0.9", "force": true})).await;
        let id = &forced["update_id"];
        assert_eq!(
            (&forced["status"], &forced["firmware_id"]),
            (&json!("waiting_approval"), &json!(old))
        );
        assert!(!fixture.is_shown(0).await);
        assert_ne!(fixture.status(&open).await, "offered", "it is cancelled");
        let again = json!({"target_version": "1.0.9", "force": true});
        let refused = server.send("POST", path, &fixture.operator, &again).await;
        assert_eq!(refused.expect_problem(409).0, "update_open");
        let creator = server.key("olga", Role::Admin).await;
        let refused = fixture.decide(&creator, id, json!({})).await;
        assert_eq!(refused.expect_problem(403).0, "own_update");
        fixture
            .decide(&fixture.approver, id, json!({}))
            .await
            .expect(200);
        assert_eq!(fixture.status(id).await, "offered", "in spite of the pin");
        fixture.cancel(id).await;

        fixture.set(json!(false)).await;
        let forced = roll_back(json!({"target_version": "1.0.9", "force": true})).await;
        assert_eq!(forced["status"], "offered");
        fixture.cancel(&forced["update_id"]).await;
        fixture.set(json!(true)).await;
        let unpin = json!({"pinned": false});
        server
            .send("PATCH", device, &server.admin, &unpin)
            .await
            .expect(200);
        let retried = fixture.retry(&forced["update_id"], json!({})).await;
        assert_eq!(retried["status"], "waiting_approval");

        // Nor does it wait behind one that waits.
        let plain = roll_back(json!({"target_version": "1.0.9"})).await;
        assert_eq!(plain["status"], "offered");
        assert_eq!(fixture.status(&retried["update_id"]).await, "cancelled");
    })
    .await;
}
