//! A device that is registered after the start of a campaign whose plan is dynamic, over REST and DDI.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tidegate_engine::campaigns;

use crate::{statements::start, test_server::TestServer};

/// A device in the group of the campaign. Returns its token.
async fn add(server: &TestServer, id: &str, model: &str) -> String {
    let device = json!({
        "device_id": id, "groups": ["lab"], "attributes": {"hw_model": model, "sw_version": "1.0.0"},
    });
    let created = server.post("/api/v1/devices", &device).await.expect(201);
    campaigns::join_changed_devices(&server.state.engine)
        .await
        .expect("devices are checked");
    created["token"].as_str().expect("a token").to_owned()
}

async fn poll(server: &TestServer, id: &str, token: &str) -> Value {
    let request = Request::get(format!("/default/controller/v1/{id}"))
        .header("host", "localhost")
        .header("authorization", format!("TargetToken {token}"))
        .body(Body::empty());
    let response = server.send_request(request.expect("a request")).await;
    response.expect(200)
}

/// The explanation of the first campaign.
async fn explained(server: &TestServer, id: &str) -> (String, String) {
    let path = format!("/api/v1/devices/{id}/explain");
    let explained = server.get(&path).await.expect(200);
    let campaign = &explained["items"][0];
    let standing = campaign["standing"].as_str().unwrap_or_default();
    (standing.to_owned(), campaign["reasons"].to_string())
}

#[tokio::test]
async fn a_device_that_is_registered_after_the_start_gets_the_firmware() {
    for server in TestServer::on_both_databases(|_| {}).await {
        check(&server).await;
    }
}

async fn check(server: &TestServer) {
    server.fleet(2).await;
    let path = server
        .campaign(json!({
            "strategy": {"plugin": "acme/canary", "config": {"dynamic": true, "releases_all": true}},
            "policies": [{"plugin": "hardware"}],
        }))
        .await;
    assert_eq!(server.get(&path).await.expect(200)["dynamic"], false);
    let run = start(server, &path).await;
    let tick = async || {
        campaigns::tick(&server.state.engine, run)
            .await
            .expect("the tick succeeds");
    };
    tick().await;

    let token = add(server, "late", "rpi4").await;
    assert!(
        poll(server, "late", &token).await["_links"]["deploymentBase"].is_null(),
        "it is not released"
    );
    let campaign = server.get(&path).await.expect(200);
    assert_eq!(
        (&campaign["dynamic"], &campaign["total_devices"]),
        (&json!(true), &json!(3))
    );
    assert_eq!(campaign["joined_devices"], 1);
    assert_eq!(campaign["waves"][1]["total"], 2);
    assert_eq!(campaign["pending_devices"], 1);
    tick().await;
    let offered = poll(server, "late", &token).await;
    assert!(offered["_links"]["deploymentBase"].is_object(), "{offered}");
    let (standing, reasons) = explained(server, "late").await;
    assert_eq!(standing, "admitted");
    assert!(reasons.contains("it joined later, at "), "{reasons}");

    let token = add(server, "strange", "toaster").await;
    tick().await;
    let polled = poll(server, "strange", &token).await;
    assert!(polled["_links"]["deploymentBase"].is_null(), "{polled}");
    let (standing, reasons) = explained(server, "strange").await;
    assert_eq!(standing, "excluded");
    assert!(reasons.contains("hardware: it is a toaster"), "{reasons}");
    let campaign = server.get(&path).await.expect(200);
    assert_eq!(campaign["excluded_devices"], 1);
    let journal = server.get(&format!("{path}/journal")).await.expect(200);
    let entries = journal["items"].as_array().expect("entries");
    let joined = entries.iter().filter(|entry| entry["outcome"] == "joined");
    assert_eq!(joined.count(), 2, "{journal}");

    let reason = json!({"reason": "enough"});
    server
        .post(&format!("{path}/cancel"), &reason)
        .await
        .expect(200);
    add(server, "too-late", "rpi4").await;
    let campaign = server.get(&path).await.expect(200);
    assert_eq!(campaign["total_devices"], 4);
    assert_eq!(explained(server, "too-late").await.0, "not_selected");
}
