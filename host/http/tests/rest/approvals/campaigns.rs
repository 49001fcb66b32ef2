//! Approvals and rejections of campaigns.

use axum::body::Body;
use serde_json::{Value, json};
use tidegate_engine::Role;

use super::on_both;
use crate::test_server::{TestServer, request};

#[tokio::test]
async fn a_rejection_ends_a_campaign_that_waits_for_approval() {
    for server in TestServer::on_both_databases(|_| {}).await {
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
}

#[tokio::test]
async fn an_approval_comes_from_another_user_and_before_the_start() {
    for server in TestServer::on_both_databases(|_| {}).await {
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
}

#[tokio::test]
async fn a_campaign_needs_an_approval_whether_it_asks_for_it_or_not() {
    on_both(async |fixture| {
        let server = &fixture.server;
        server.plugin(b"plugin acme/canary strategy").await;
        fixture.set(json!(false)).await;
        let before = server.campaign_of(fixture.firmware, json!({})).await;
        let shown = server.get(&before).await.expect(200);
        assert_eq!(shown["requires_approval"], false);
        fixture.set(json!(true)).await;
        let asks_for_none = json!({"name": "summer", "requires_approval": false});
        let after = server.campaign_of(fixture.firmware, asks_for_none).await;
        assert_eq!(
            server.get(&after).await.expect(200)["requires_approval"],
            true
        );
        for path in [before, after] {
            let start = format!("{path}/start");
            let refused = server.post(&start, &json!({})).await;
            assert_eq!(refused.expect_problem(409).0, "not_approved");
            let approve = format!("{path}/approve");
            let own = server.post(&approve, &json!({})).await;
            assert_eq!(own.expect_problem(403).0, "own_campaign");
            let body = json!({});
            let approved = server.send("POST", &approve, &fixture.approver, &body);
            approved.await.expect(200);
            server.post(&start, &json!({})).await.expect(200);
        }
    })
    .await;
}

#[tokio::test]
async fn no_editor_of_a_campaign_decides_on_it() {
    on_both(async |fixture| {
        let server = &fixture.server;
        server.plugin(b"plugin acme/canary strategy").await;
        let path = server.campaign_of(fixture.firmware, json!({})).await;
        let other = server.firmware("1.2.0", b"other").await;
        let mallory = server.key("mallory", Role::Admin).await;
        for (key, change) in [
            (&mallory, json!({"firmware_id": other})),
            (&fixture.operator, json!({"name": "autumn"})),
        ] {
            server.send("PATCH", &path, key, &change).await.expect(200);
        }
        assert_eq!(server.get(&path).await.expect(200)["edited_by"], "olga");
        let approve = format!("{path}/approve");
        for author in [&mallory, &server.admin] {
            for decision in [json!({}), json!({"approved": false})] {
                let refused = server.send("POST", &approve, author, &decision).await;
                assert_eq!(refused.expect_problem(403).0, "own_campaign");
            }
        }
        let approved = server
            .send("POST", &approve, &fixture.approver, &json!({}))
            .await;
        assert_eq!(approved.expect(200)["approved_by"], "ada");
    })
    .await;
}
