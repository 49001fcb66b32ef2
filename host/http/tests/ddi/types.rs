//! How urgent an update is, as the device is told.

use std::time::Duration;

use serde_json::json;
use tidegate_core::{
    time::Timestamp,
    update::{Terms, UpdateStatus, UpdateType},
};

use crate::{
    wire::{get, request},
    world::World,
};

const BASE: &str = "/lab/controller/v1/dev-1";

fn of(update_type: UpdateType) -> Terms {
    Terms {
        update_type,
        ..Terms::forced(Duration::from_mins(30))
    }
}

async fn world() -> anyhow::Result<World> {
    let world = World::open().await?;
    world.send(get(BASE)).await?;
    Ok(world)
}

#[tokio::test]
async fn a_device_is_told_how_urgent_it_is() -> anyhow::Result<()> {
    for (update_type, download, update) in [
        (UpdateType::Forced, "forced", "forced"),
        (UpdateType::Soft, "attempt", "attempt"),
        (UpdateType::DownloadOnly, "forced", "skip"),
    ] {
        let world = world().await?;
        let id = world.offer_on("dev-1", "1.1.0", of(update_type)).await?;
        let body = world
            .send(get(format!("{BASE}/deploymentBase/{id}")))
            .await?
            .json();
        let said = (
            &body["deployment"]["download"],
            &body["deployment"]["update"],
        );
        assert_eq!(said, (&json!(download), &json!(update)), "{update_type:?}");
    }
    Ok(())
}

#[tokio::test]
async fn time_alone_makes_a_soft_update_a_forced_one() -> anyhow::Result<()> {
    let world = world().await?;
    let noon = Timestamp(world.engine.now().0 + 60_000);
    let id = world
        .offer_on("dev-1", "1.1.0", of(UpdateType::TimeForced(noon)))
        .await?;
    let poll = async || {
        let answer = world.send(get(BASE)).await?;
        let etag = answer.header("etag").map(str::to_owned);
        let href = answer.json()["_links"]["deploymentBase"]["href"].clone();
        anyhow::Ok((href, etag))
    };
    let handling = async || {
        let path = format!("{BASE}/confirmationBase");
        world.send(get(path)).await?;
        let row = world.engine.store().update(world.tenant, id).await?;
        let row = row.expect("the update");
        let now = world.engine.now();
        anyhow::Ok((
            row.revision,
            row.update.progress.terms.update_type.download(now).as_str(),
        ))
    };
    let (before, before_etag) = poll().await?;
    assert_eq!(handling().await?, (0, "attempt"));
    world.clock.pass(59);
    assert_eq!(
        poll().await?,
        (before.clone(), before_etag.clone()),
        "nothing has changed"
    );
    world.clock.pass(1);
    let (after, after_etag) = poll().await?;
    assert_ne!(after, before);
    assert_ne!(after_etag, before_etag);
    assert_eq!(handling().await?, (0, "forced"), "no row was written");
    let href = after.as_str().expect("a link");
    let path = href
        .strip_prefix("http://gate.example:8080")
        .expect("our host");
    let shown = world.send(get(path)).await?.json();
    assert_eq!(shown["deployment"]["update"], "forced");
    Ok(())
}

#[tokio::test]
async fn what_is_only_downloaded_is_done_then() -> anyhow::Result<()> {
    let world = world().await?;
    let id = world
        .offer_on("dev-1", "1.1.0", of(UpdateType::DownloadOnly))
        .await?;
    let data = json!({ "data": { "hw_model": "edge" } });
    world
        .send(request("PUT", format!("{BASE}/configData")).json(&data))
        .await?;
    let tell = async |execution: &str, finished: &str| {
        let body = json!({"status": {"execution": execution, "result": {"finished": finished}}});
        let told = request("POST", format!("{BASE}/deploymentBase/{id}/feedback")).json(&body);
        anyhow::Ok(world.send(told).await?.status)
    };
    assert_eq!(tell("download", "none").await?, 200);
    assert_eq!(tell("downloaded", "none").await?, 200);
    let row = world.engine.store().update(world.tenant, id).await?;
    let status = row.map(|row| row.update.progress.status);
    assert_eq!(status, Some(UpdateStatus::Completed));
    let links = world.send(get(BASE)).await?.json()["_links"].clone();
    let names: Vec<_> = links
        .as_object()
        .into_iter()
        .flat_map(|links| links.keys())
        .collect();
    assert_eq!(
        names,
        ["configData"],
        "it is asked what it is, and nothing is installed"
    );
    assert_eq!(tell("closed", "success").await?, 410);
    assert_eq!(
        tell("downloaded", "none").await?,
        200,
        "the same again is one"
    );
    Ok(())
}
