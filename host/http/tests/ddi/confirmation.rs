//! Confirmation of updates at the device.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::{
    id::UpdateId,
    update::{Confirmation, OnDenied, UpdateOptions, UpdateStatus},
};

use crate::{
    raw_http::{Response, get, request},
    test_server::TestServer,
};

const BASE: &str = "/lab/controller/v1/dev-1";
const HOST: &str = "http://gate.example:8080";

fn confirmation_options(on_denied: OnDenied) -> UpdateOptions {
    UpdateOptions {
        confirmation: Some(Confirmation {
            on_denied,
            timeout: Duration::from_hours(5),
        }),
        ..UpdateOptions::forced(Duration::from_mins(30))
    }
}

/// A device with an update that waits for confirmation.
async fn waiting_for_confirmation(on_denied: OnDenied) -> anyhow::Result<(TestServer, UpdateId)> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let update = server
        .offer_with("dev-1", "1.1.0", confirmation_options(on_denied))
        .await?;
    Ok((server, update))
}

impl TestServer {
    async fn get_resource(&self, path: impl AsRef<str>) -> anyhow::Result<Response> {
        self.send(get(format!("{BASE}{}", path.as_ref()))).await
    }

    async fn post(&self, path: impl AsRef<str>, body: &Value) -> anyhow::Result<Response> {
        let path = format!("{BASE}{}", path.as_ref());
        self.send(request("POST", path).json(body)).await
    }

    async fn send_confirmation(&self, update: UpdateId, word: &str) -> anyhow::Result<u16> {
        let body = json!({ "confirmation": word, "details": ["said"] });
        let path = format!("/confirmationBase/{update}/feedback");
        Ok(self.post(path, &body).await?.status)
    }

    /// The links of a poll, except configData.
    async fn poll_links(&self) -> anyhow::Result<Vec<String>> {
        let links = self.get_resource("").await?.json()["_links"].clone();
        let links = links.as_object().cloned().unwrap_or_default();
        let names = links.keys().filter(|name| *name != "configData").cloned();
        Ok(names.collect())
    }

    async fn update_status(&self, update: UpdateId) -> anyhow::Result<Option<UpdateStatus>> {
        let row = self.engine.store().update(self.tenant, update).await?;
        Ok(row.map(|row| row.update.state.status))
    }
}

#[tokio::test]
async fn an_update_is_confirmed_and_then_installed() -> anyhow::Result<()> {
    let (server, update) = waiting_for_confirmation(OnDenied::OfferAgain).await?;
    let poll = server.get_resource("").await?.json();
    let href = format!("{HOST}{BASE}/confirmationBase/{update}?c=0");
    assert_eq!(poll["_links"]["confirmationBase"]["href"], href);
    assert_eq!(server.poll_links().await?, ["confirmationBase"]);

    let response = server
        .get_resource(format!("/confirmationBase/{update}?c=7&actionHistory=3"))
        .await?;
    assert_eq!(response.status, 200);
    let waiting = response.json();
    assert_eq!(waiting["id"], update.to_string());
    assert_eq!(waiting["deployment"], Value::Null);
    assert_eq!(
        waiting["actionHistory"],
        Value::Null,
        "there is no feedback yet"
    );
    let chunk = &waiting["confirmation"]["chunks"][0];
    assert_eq!(chunk["artifacts"][0]["filename"], "edge 1.bin");

    // Until it is confirmed, the update cannot be installed or reported on.
    let deployment = format!("/deploymentBase/{update}");
    assert_eq!(server.get_resource(&deployment).await?.status, 404);
    let closed = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    for resource in ["deploymentBase", "cancelAction"] {
        let posted = server.post(format!("/{resource}/{update}/feedback"), &closed);
        let expected = if resource == "deploymentBase" {
            404
        } else {
            405
        };
        assert_eq!(posted.await?.status, expected, "{resource}");
    }
    assert_eq!(
        server
            .get_resource(format!("/cancelAction/{update}"))
            .await?
            .status,
        404
    );

    assert_eq!(server.send_confirmation(update, "confirmed").await?, 200);
    assert_eq!(server.poll_links().await?, ["deploymentBase"]);
    assert_eq!(
        server
            .get_resource(format!("/confirmationBase/{update}"))
            .await?
            .status,
        404
    );
    let body = server
        .get_resource(format!("{deployment}?actionHistory=9"))
        .await?
        .json();
    assert_eq!(
        body["deployment"], waiting["confirmation"],
        "it is the confirmed deployment"
    );
    assert_eq!(body["actionHistory"]["messages"], json!(["said"]));
    Ok(())
}

#[tokio::test]
async fn a_denial_can_be_repeated_and_reversed() -> anyhow::Result<()> {
    let (server, update) = waiting_for_confirmation(OnDenied::OfferAgain).await?;
    for (word, status, linked) in [
        ("denied", 200, "confirmationBase"),
        ("denied", 200, "confirmationBase"),
        ("confirmed", 200, "deploymentBase"),
        ("confirmed", 200, "deploymentBase"),
        // The confirmation is withdrawn.
        ("denied", 200, "confirmationBase"),
        ("confirmed", 200, "deploymentBase"),
    ] {
        assert_eq!(
            server.send_confirmation(update, word).await?,
            status,
            "{word}"
        );
        assert_eq!(server.poll_links().await?, [linked], "{word}");
    }
    let other_words = json!({ "confirmation": "confirmed", "code": 5 });
    let path = format!("/confirmationBase/{update}/feedback");
    assert_eq!(
        server.post(&path, &other_words).await?.status,
        404,
        "it no longer waits for confirmation"
    );

    let closed = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    let posted = server.post(format!("/deploymentBase/{update}/feedback"), &closed);
    assert_eq!(posted.await?.status, 200);
    assert_eq!(
        server.post(&path, &other_words).await?.status,
        410,
        "the update is closed"
    );
    for (body, expected) in [(json!({ "confirmation": "closed" }), 400), (json!({}), 400)] {
        assert_eq!(server.post(&path, &body).await?.status, expected, "{body}");
    }
    let nowhere = "/confirmationBase/999/feedback";
    assert_eq!(server.post(nowhere, &other_words).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn a_denial_rejects_the_update_if_the_campaign_says_so() -> anyhow::Result<()> {
    let (server, update) = waiting_for_confirmation(OnDenied::Reject).await?;
    assert_eq!(server.send_confirmation(update, "denied").await?, 200);
    assert_eq!(
        server.update_status(update).await?,
        Some(UpdateStatus::Rejected)
    );
    assert!(server.poll_links().await?.is_empty());
    assert_eq!(server.send_confirmation(update, "confirmed").await?, 410);
    assert_eq!(
        server.send_confirmation(update, "denied").await?,
        200,
        "a repeated denial changes nothing"
    );
    for resource in [
        "deploymentBase",
        "installedBase",
        "confirmationBase",
        "cancelAction",
    ] {
        let response = server.get_resource(format!("/{resource}/{update}")).await?;
        assert_eq!(response.status, 404, "{resource}");
    }
    Ok(())
}

#[tokio::test]
async fn an_update_without_confirmation_cannot_be_confirmed() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let update = server.offer("dev-1", "1.1.0").await?;
    assert_eq!(server.poll_links().await?, ["deploymentBase"]);
    assert_eq!(
        server
            .get_resource(format!("/confirmationBase/{update}"))
            .await?
            .status,
        404
    );
    for word in ["confirmed", "denied"] {
        assert_eq!(server.send_confirmation(update, word).await?, 404, "{word}");
    }
    // Nor can a denial be sent as deployment feedback.
    let body = json!({"status": {"execution": "denied", "result": {"finished": "none"}}});
    let posted = server.post(format!("/deploymentBase/{update}/feedback"), &body);
    assert_eq!(posted.await?.status, 400);
    assert_eq!(
        server.update_status(update).await?,
        Some(UpdateStatus::Offered)
    );
    Ok(())
}

#[tokio::test]
async fn auto_confirm_skips_the_confirmation() -> anyhow::Result<()> {
    let (server, update) = waiting_for_confirmation(OnDenied::OfferAgain).await?;
    let base = server.get_resource("/confirmationBase").await?;
    let (status, body) = (base.status, base.json());
    let (at, link) = (
        format!("{HOST}{BASE}/confirmationBase"),
        |name: &str| json!({ "href": format!("{HOST}{BASE}/confirmationBase/{name}") }),
    );
    assert_eq!(status, 200);
    assert_eq!(
        body,
        json!({
            "autoConfirm": { "active": false, "activatedAt": 0 },
            "_links": {
                "activateAutoConfirm": link("activateAutoConfirm"),
                "confirmationBase": { "href": format!("{at}/{update}?c=0") },
            },
        })
    );

    let who = json!({ "initiator": "the driver", "remark": "always" });
    let path = "/confirmationBase/activateAutoConfirm";
    assert_eq!(server.post(path, &who).await?.status, 200);
    assert_eq!(
        server.poll_links().await?,
        ["deploymentBase"],
        "the waiting update is confirmed"
    );
    let body = server.get_resource("/confirmationBase").await?.json();
    assert_eq!(
        body,
        json!({
            "autoConfirm": {
                "active": true,
                "initiator": "the driver",
                "remark": "always",
                "activatedAt": server.engine.now().0,
            },
            "_links": { "deactivateAutoConfirm": link("deactivateAutoConfirm") },
        })
    );
    let again = server.post(path, &who).await?;
    assert_eq!(again.status, 409);
    let code = "hawkbit.server.error.repo.autoConfAlreadyActive";
    assert_eq!(again.json()["errorCode"], code);

    for _ in 0..2 {
        let off = request(
            "POST",
            format!("{BASE}/confirmationBase/deactivateAutoConfirm"),
        );
        assert_eq!(server.send(off).await?.status, 200);
    }
    let body = server.get_resource("/confirmationBase").await?.json();
    assert_eq!(
        body["autoConfirm"],
        json!({ "active": false, "activatedAt": 0 })
    );

    // The body is optional.
    let on = request("POST", format!("{BASE}{path}"));
    assert_eq!(server.send(on).await?.status, 200);
    let body = server.get_resource("/confirmationBase").await?.json();
    let at = server.engine.now().0;
    assert_eq!(
        body["autoConfirm"],
        json!({ "active": true, "activatedAt": at })
    );
    Ok(())
}

#[tokio::test]
async fn one_update_can_be_denied_despite_auto_confirm() -> anyhow::Result<()> {
    let (server, update) = waiting_for_confirmation(OnDenied::OfferAgain).await?;
    let on = "/confirmationBase/activateAutoConfirm";
    assert_eq!(server.post(on, &json!({})).await?.status, 200);
    assert_eq!(server.poll_links().await?, ["deploymentBase"]);
    for _ in 0..2 {
        assert_eq!(server.send_confirmation(update, "denied").await?, 200);
        assert_eq!(
            server.update_status(update).await?,
            Some(UpdateStatus::Rejected)
        );
    }
    assert!(
        server.poll_links().await?.is_empty(),
        "the update is closed"
    );
    assert_eq!(server.send_confirmation(update, "confirmed").await?, 410);
    // The next update is auto-confirmed again.
    let options = confirmation_options(OnDenied::OfferAgain);
    server.offer_with("dev-1", "1.2.0", options).await?;
    assert_eq!(server.poll_links().await?, ["deploymentBase"]);
    Ok(())
}

#[tokio::test]
async fn auto_confirm_fields_are_validated() -> anyhow::Result<()> {
    let server = TestServer::anonymous().await?;
    let path = "/confirmationBase/activateAutoConfirm";
    let status = |body: Value| {
        let server = &server;
        async move { anyhow::Ok(server.post(path, &body).await?.status) }
    };
    assert_eq!(status(json!({})).await?, 404, "the device is unknown");
    // The request registers the device, like a poll.
    assert_eq!(server.get_resource("/confirmationBase").await?.status, 200);
    for (body, expected) in [
        (json!({ "initiator": "x".repeat(65) }), 400),
        (json!({ "remark": "x".repeat(513) }), 400),
        (json!([1]), 400),
        (
            json!({ "initiator": null, "remark": "x".repeat(512), "id": 4 }),
            200,
        ),
    ] {
        assert_eq!(status(body.clone()).await?, expected, "{body}");
    }
    let text = request("POST", format!("{BASE}{path}")).body("text/plain", "yes");
    assert_eq!(server.send(text).await?.status, 415);
    Ok(())
}

#[tokio::test]
async fn a_waiting_update_is_cancelled_immediately() -> anyhow::Result<()> {
    let (server, update) = waiting_for_confirmation(OnDenied::OfferAgain).await?;
    server.cancel_campaign_of(update).await?;
    assert!(
        server.poll_links().await?.is_empty(),
        "the device has not started"
    );
    assert_eq!(
        server.update_status(update).await?,
        Some(UpdateStatus::Cancelled)
    );
    assert_eq!(server.send_confirmation(update, "confirmed").await?, 410);
    Ok(())
}
