//! Bulk updates, which another user approves as one.

use serde_json::{Value, json};

use super::on_both;

#[tokio::test]
async fn a_bulk_update_is_approved_as_one() {
    on_both(async |fixture| {
        let bulk = fixture.bulk(&["pi-0", "pi-1", "unknown", "pi-2"]).await;
        assert_eq!(bulk["refused"][0]["device_id"], "unknown");
        let ids: Vec<_> = bulk["accepted"]
            .as_array()
            .expect("a list")
            .iter()
            .collect();
        let ids: Vec<_> = ids
            .iter()
            .map(|accepted| accepted["update_id"].clone())
            .collect();
        assert_eq!(ids.len(), 3);
        let approval = &bulk["approval_id"];
        assert!(approval.is_number(), "{bulk}");

        let list = "/api/v1/updates?status=waiting_approval";
        let waiting = fixture.server.get(list).await.expect(200);
        assert_eq!(
            (
                &waiting["total"],
                &waiting["items"][0]["approval"]["approval_id"]
            ),
            (&json!(3), approval)
        );
        let of_device = "/api/v1/devices/pi-1/updates?status=waiting_approval";
        assert_eq!(fixture.server.get(of_device).await.expect(200)["total"], 1);
        let completed = "/api/v1/devices/pi-1/updates?status=completed";
        assert_eq!(fixture.server.get(completed).await.expect(200)["total"], 0);
        let invalid = fixture.server.get("/api/v1/updates?status=waiting").await;
        assert_eq!(invalid.expect_problem(422).1, ["status"]);

        // The first of its updates may be gone; the approval is not.
        let first = fixture
            .server
            .get(&format!("/api/v1/updates/{approval}"))
            .await
            .expect(200);
        let path = format!(
            "/api/v1/devices/{}",
            first["device_id"].as_str().expect("an id")
        );
        let deleted = fixture
            .server
            .send("DELETE", &path, &fixture.server.admin, &json!(null));
        deleted.await.expect(204);
        let decided = fixture
            .decide(&fixture.approver, approval, json!({}))
            .await
            .expect(200);
        assert_eq!(
            (&decided["updates"], &decided["approval_id"]),
            (&json!(2), approval)
        );
        for id in ids.iter().filter(|id| *id != approval) {
            assert_eq!(fixture.status(id).await, "offered");
        }
        assert_eq!(fixture.server.get(list).await.expect(200)["total"], 0);
    })
    .await;
}

#[tokio::test]
async fn a_rejected_update_ends_and_its_retry_waits_too() {
    on_both(async |fixture| {
        let bulk = fixture.bulk(&["pi-0", "pi-1"]).await;
        let ids = [0, 1].map(|n: usize| bulk["accepted"][n]["update_id"].clone());
        let explained = fixture
            .server
            .get("/api/v1/devices/pi-1/explain")
            .await
            .expect(200);
        let expected = format!(
            "update {} waits for the approval of another user than olga",
            ids[1]
        );
        assert!(explained.to_string().contains(&expected), "{explained}");

        // By the id of any of them.
        let body = json!({"approved": false, "approval_comment": "not on a Friday"});
        let decided = fixture
            .decide(&fixture.approver, &ids[1], body)
            .await
            .expect(200);
        assert_eq!(
            (&decided["approved"], &decided["updates"]),
            (&json!(false), &json!(2))
        );
        for id in &ids {
            let update = fixture
                .server
                .get(&format!("/api/v1/updates/{id}"))
                .await
                .expect(200);
            assert_eq!(
                (
                    &update["status"],
                    &update["error_code"],
                    &update["error_message"]
                ),
                (
                    &json!("cancelled"),
                    &json!("NOT_APPROVED"),
                    &json!("rejected by ada: not on a Friday")
                )
            );
        }
        assert!(!fixture.is_shown(1).await);

        let retry = async |id: &Value| {
            let path = format!("/api/v1/updates/{id}/retry");
            let retried = fixture
                .server
                .send("POST", &path, &fixture.operator, &json!({}))
                .await;
            retried.expect(201)
        };
        let retried = retry(&ids[0]).await;
        assert_eq!(retried["status"], "waiting_approval");
        let id = &retried["update_id"];
        fixture
            .decide(&fixture.approver, id, json!({}))
            .await
            .expect(200);
        assert_eq!(fixture.status(id).await, "offered");

        // One that was approved is retried at once; one that waits can be cancelled.
        let cancel = async |id: &Value| {
            let path = format!("/api/v1/updates/{id}/cancel");
            let cancelled = fixture
                .server
                .send("POST", &path, &fixture.operator, &json!({}))
                .await;
            cancelled.expect(200)
        };
        cancel(id).await;
        let force = json!({"force": true});
        let path = format!("/api/v1/updates/{id}/cancel");
        fixture
            .server
            .send("POST", &path, &fixture.operator, &force)
            .await
            .expect(200);
        assert_eq!(retry(id).await["status"], "offered");
        let waiting = retry(&ids[1]).await;
        assert_eq!(waiting["status"], "waiting_approval");
        assert_eq!(cancel(&waiting["update_id"]).await["status"], "cancelled");
        let refused = fixture
            .decide(&fixture.approver, &waiting["update_id"], json!({}))
            .await;
        assert_eq!(refused.expect_problem(409).0, "not_waiting");
    })
    .await;
}
