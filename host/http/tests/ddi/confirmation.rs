//! Somebody at the device is asked.

use std::time::Duration;

use serde_json::{Value, json};
use tidegate_core::{
    id::UpdateId,
    update::{Confirmation, OnDenied, Terms, UpdateStatus},
};

use crate::{
    wire::{Answer, get, request},
    world::World,
};

const BASE: &str = "/lab/controller/v1/dev-1";
const HOST: &str = "http://gate.example:8080";

fn asks(on_denied: OnDenied) -> Terms {
    Terms {
        confirmation: Some(Confirmation {
            on_denied,
            timeout: Duration::from_hours(5),
        }),
        ..Terms::forced(Duration::from_mins(30))
    }
}

/// A device that is asked whether an update may begin.
async fn asked(on_denied: OnDenied) -> anyhow::Result<(World, UpdateId)> {
    let world = World::open().await?;
    world.send(get(BASE)).await?;
    let update = world.offer_on("dev-1", "1.1.0", asks(on_denied)).await?;
    Ok((world, update))
}

impl World {
    async fn see(&self, path: impl AsRef<str>) -> anyhow::Result<Answer> {
        self.send(get(format!("{BASE}{}", path.as_ref()))).await
    }

    async fn post(&self, path: impl AsRef<str>, body: &Value) -> anyhow::Result<Answer> {
        let path = format!("{BASE}{}", path.as_ref());
        self.send(request("POST", path).json(body)).await
    }

    async fn answer(&self, update: UpdateId, word: &str) -> anyhow::Result<u16> {
        let body = json!({ "confirmation": word, "details": ["said"] });
        let path = format!("/confirmationBase/{update}/feedback");
        Ok(self.post(path, &body).await?.status)
    }

    /// What a poll links to, but for configData.
    async fn linked(&self) -> anyhow::Result<Vec<String>> {
        let links = self.see("").await?.json()["_links"].clone();
        let links = links.as_object().cloned().unwrap_or_default();
        let names = links.keys().filter(|name| *name != "configData").cloned();
        Ok(names.collect())
    }

    async fn stands(&self, update: UpdateId) -> anyhow::Result<Option<UpdateStatus>> {
        let row = self.engine.store().update(self.tenant, update).await?;
        Ok(row.map(|row| row.update.progress.status))
    }
}

#[tokio::test]
async fn an_update_is_shown_to_be_confirmed_and_to_be_installed_after() -> anyhow::Result<()> {
    let (world, update) = asked(OnDenied::OfferAgain).await?;
    let poll = world.see("").await?.json();
    let href = format!("{HOST}{BASE}/confirmationBase/{update}?c=0");
    assert_eq!(poll["_links"]["confirmationBase"]["href"], href);
    assert_eq!(world.linked().await?, ["confirmationBase"]);

    let shown = world
        .see(format!("/confirmationBase/{update}?c=7&actionHistory=3"))
        .await?;
    assert_eq!(shown.status, 200);
    let shown = shown.json();
    assert_eq!(shown["id"], update.to_string());
    assert_eq!(shown["deployment"], Value::Null);
    assert_eq!(shown["actionHistory"], Value::Null, "nothing was said yet");
    let chunk = &shown["confirmation"]["chunks"][0];
    assert_eq!(chunk["artifacts"][0]["filename"], "edge 1.bin");

    // Until then there is nothing to install, and nothing to report.
    let deployment = format!("/deploymentBase/{update}");
    assert_eq!(world.see(&deployment).await?.status, 404);
    let closed = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    for resource in ["deploymentBase", "cancelAction"] {
        let told = world.post(format!("/{resource}/{update}/feedback"), &closed);
        let expected = if resource == "deploymentBase" {
            404
        } else {
            405
        };
        assert_eq!(told.await?.status, expected, "{resource}");
    }
    assert_eq!(
        world.see(format!("/cancelAction/{update}")).await?.status,
        404
    );

    assert_eq!(world.answer(update, "confirmed").await?, 200);
    assert_eq!(world.linked().await?, ["deploymentBase"]);
    assert_eq!(
        world
            .see(format!("/confirmationBase/{update}"))
            .await?
            .status,
        404
    );
    let body = world
        .see(format!("{deployment}?actionHistory=9"))
        .await?
        .json();
    assert_eq!(
        body["deployment"], shown["confirmation"],
        "it is what was agreed to"
    );
    assert_eq!(body["actionHistory"]["messages"], json!(["said"]));
    Ok(())
}

#[tokio::test]
async fn no_is_heard_as_often_as_it_is_said() -> anyhow::Result<()> {
    let (world, update) = asked(OnDenied::OfferAgain).await?;
    for (word, status, linked) in [
        ("denied", 200, "confirmationBase"),
        ("denied", 200, "confirmationBase"),
        ("confirmed", 200, "deploymentBase"),
        ("confirmed", 200, "deploymentBase"),
        // The consent is taken back.
        ("denied", 200, "confirmationBase"),
        ("confirmed", 200, "deploymentBase"),
    ] {
        assert_eq!(world.answer(update, word).await?, status, "{word}");
        assert_eq!(world.linked().await?, [linked], "{word}");
    }
    let other_words = json!({ "confirmation": "confirmed", "code": 5 });
    let path = format!("/confirmationBase/{update}/feedback");
    assert_eq!(
        world.post(&path, &other_words).await?.status,
        404,
        "it is not asked any more"
    );

    let closed = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
    let told = world.post(format!("/deploymentBase/{update}/feedback"), &closed);
    assert_eq!(told.await?.status, 200);
    assert_eq!(
        world.post(&path, &other_words).await?.status,
        410,
        "too late"
    );
    for (body, expected) in [(json!({ "confirmation": "closed" }), 400), (json!({}), 400)] {
        assert_eq!(world.post(&path, &body).await?.status, expected, "{body}");
    }
    let nowhere = "/confirmationBase/999/feedback";
    assert_eq!(world.post(nowhere, &other_words).await?.status, 404);
    Ok(())
}

#[tokio::test]
async fn no_is_the_end_where_the_campaign_says_so() -> anyhow::Result<()> {
    let (world, update) = asked(OnDenied::Reject).await?;
    assert_eq!(world.answer(update, "denied").await?, 200);
    assert_eq!(world.stands(update).await?, Some(UpdateStatus::Rejected));
    assert!(world.linked().await?.is_empty());
    assert_eq!(world.answer(update, "confirmed").await?, 410);
    assert_eq!(
        world.answer(update, "denied").await?,
        200,
        "the same again changes nothing"
    );
    for resource in [
        "deploymentBase",
        "installedBase",
        "confirmationBase",
        "cancelAction",
    ] {
        let shown = world.see(format!("/{resource}/{update}")).await?;
        assert_eq!(shown.status, 404, "{resource}");
    }
    Ok(())
}

#[tokio::test]
async fn where_nobody_is_asked_there_is_nothing_to_confirm() -> anyhow::Result<()> {
    let world = World::open().await?;
    world.send(get(BASE)).await?;
    let update = world.offer("dev-1", "1.1.0").await?;
    assert_eq!(world.linked().await?, ["deploymentBase"]);
    assert_eq!(
        world
            .see(format!("/confirmationBase/{update}"))
            .await?
            .status,
        404
    );
    for word in ["confirmed", "denied"] {
        assert_eq!(world.answer(update, word).await?, 404, "{word}");
    }
    // Nor can an answer be smuggled in as something else.
    let body = json!({"status": {"execution": "denied", "result": {"finished": "none"}}});
    let told = world.post(format!("/deploymentBase/{update}/feedback"), &body);
    assert_eq!(told.await?.status, 400);
    assert_eq!(world.stands(update).await?, Some(UpdateStatus::Offered));
    Ok(())
}

#[tokio::test]
async fn who_agrees_to_everything_is_not_asked() -> anyhow::Result<()> {
    let (world, update) = asked(OnDenied::OfferAgain).await?;
    let base = world.see("/confirmationBase").await?;
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
    assert_eq!(world.post(path, &who).await?.status, 200);
    assert_eq!(
        world.linked().await?,
        ["deploymentBase"],
        "what waits is agreed to"
    );
    let body = world.see("/confirmationBase").await?.json();
    assert_eq!(
        body,
        json!({
            "autoConfirm": {
                "active": true,
                "initiator": "the driver",
                "remark": "always",
                "activatedAt": world.engine.now().0,
            },
            "_links": { "deactivateAutoConfirm": link("deactivateAutoConfirm") },
        })
    );
    let again = world.post(path, &who).await?;
    assert_eq!(again.status, 409);
    let code = "hawkbit.server.error.repo.autoConfAlreadyActive";
    assert_eq!(again.json()["errorCode"], code);

    for _ in 0..2 {
        let off = request(
            "POST",
            format!("{BASE}/confirmationBase/deactivateAutoConfirm"),
        );
        assert_eq!(world.send(off).await?.status, 200);
    }
    let body = world.see("/confirmationBase").await?.json();
    assert_eq!(
        body["autoConfirm"],
        json!({ "active": false, "activatedAt": 0 })
    );

    // Without a body it is active all the same.
    let on = request("POST", format!("{BASE}{path}"));
    assert_eq!(world.send(on).await?.status, 200);
    let body = world.see("/confirmationBase").await?.json();
    let at = world.engine.now().0;
    assert_eq!(
        body["autoConfirm"],
        json!({ "active": true, "activatedAt": at })
    );
    Ok(())
}

#[tokio::test]
async fn who_agrees_to_everything_may_say_no_to_one() -> anyhow::Result<()> {
    let (world, update) = asked(OnDenied::OfferAgain).await?;
    let on = "/confirmationBase/activateAutoConfirm";
    assert_eq!(world.post(on, &json!({})).await?.status, 200);
    assert_eq!(world.linked().await?, ["deploymentBase"]);
    for _ in 0..2 {
        assert_eq!(world.answer(update, "denied").await?, 200);
        assert_eq!(world.stands(update).await?, Some(UpdateStatus::Rejected));
    }
    assert!(world.linked().await?.is_empty(), "nobody is left to ask");
    assert_eq!(world.answer(update, "confirmed").await?, 410);
    // What comes next is agreed to again.
    let terms = asks(OnDenied::OfferAgain);
    world.offer_on("dev-1", "1.2.0", terms).await?;
    assert_eq!(world.linked().await?, ["deploymentBase"]);
    Ok(())
}

#[tokio::test]
async fn agreeing_to_everything_has_its_limits() -> anyhow::Result<()> {
    let world = World::open().await?;
    let path = "/confirmationBase/activateAutoConfirm";
    let status = |body: Value| {
        let world = &world;
        async move { anyhow::Ok(world.post(path, &body).await?.status) }
    };
    assert_eq!(status(json!({})).await?, 404, "nobody knows the device");
    // It registers itself as by a poll.
    assert_eq!(world.see("/confirmationBase").await?.status, 200);
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
    assert_eq!(world.send(text).await?.status, 415);
    Ok(())
}

#[tokio::test]
async fn what_waits_is_called_back_at_once() -> anyhow::Result<()> {
    let (world, update) = asked(OnDenied::OfferAgain).await?;
    world.call_back(update).await?;
    assert!(world.linked().await?.is_empty(), "the device never began");
    assert_eq!(world.stands(update).await?, Some(UpdateStatus::Cancelled));
    assert_eq!(world.answer(update, "confirmed").await?, 410);
    Ok(())
}
