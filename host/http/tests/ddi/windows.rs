//! Maintenance windows, as devices see them.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tidegate_core::{
    id::UpdateId,
    update::{Terms, UpdateStatus},
    window::{MaintenanceWindow, WindowSpec},
};

use crate::{
    wire::{get, request},
    world::World,
};

const BASE: &str = "/lab/controller/v1/dev-1";
/// The world begins at 22:13:20; the window opens at 23:00.
const UNTIL_IT_OPENS: i64 = 46 * 60 + 40;

fn nightly(prefetch: bool) -> Terms {
    let window = MaintenanceWindow::new(WindowSpec {
        schedule: "0 23 * * *".to_owned(),
        duration: Duration::from_hours(1),
        timezone: "UTC".to_owned(),
        prefetch,
    });
    Terms {
        window: Some(Arc::new(window.expect("a good window"))),
        ..Terms::forced(Duration::from_mins(30))
    }
}

/// A world in which the device has an update on these terms.
async fn world(terms: Terms) -> anyhow::Result<(World, UpdateId)> {
    let world = World::open().await?;
    world.send(get(BASE)).await?;
    let id = world.offer_on("dev-1", "1.1.0", terms).await?;
    Ok((world, id))
}

impl World {
    async fn polled(&self) -> anyhow::Result<(Option<String>, String)> {
        let body = self.send(get(BASE)).await?.json();
        let href = body["_links"]["deploymentBase"]["href"].as_str();
        let sleep = body["config"]["polling"]["sleep"].as_str();
        Ok((
            href.map(str::to_owned),
            sleep.unwrap_or_default().to_owned(),
        ))
    }

    async fn told(&self, id: UpdateId) -> anyhow::Result<(u16, Value)> {
        let answer = self
            .send(get(format!("{BASE}/deploymentBase/{id}")))
            .await?;
        if answer.status != 200 {
            return Ok((answer.status, Value::Null));
        }
        let body = &answer.json()["deployment"];
        let said = ["download", "update", "maintenanceWindow"].map(|field| body[field].clone());
        Ok((answer.status, said.into_iter().collect()))
    }

    async fn says_that_it_is_done(&self, id: UpdateId) -> anyhow::Result<UpdateStatus> {
        let body = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
        let told = request("POST", format!("{BASE}/deploymentBase/{id}/feedback")).json(&body);
        assert_eq!(self.send(told).await?.status, 200);
        let row = self.engine.store().update(self.tenant, id).await?;
        Ok(row.expect("the update").update.progress.status)
    }
}

#[tokio::test]
async fn outside_its_window_an_update_is_not_offered() -> anyhow::Result<()> {
    let (world, id) = world(nightly(false)).await?;
    assert_eq!(world.polled().await?, (None, "00:05:00".to_owned()));
    assert_eq!(world.told(id).await?.0, 404);
    let written = world.engine.store().update(world.tenant, id).await?;
    assert_eq!(
        written.map(|row| row.revision),
        Some(0),
        "nothing happened to it"
    );

    world.clock.pass(UNTIL_IT_OPENS);
    let (href, sleep) = world.polled().await?;
    assert!(href.is_some_and(|href| href.contains(&format!("/deploymentBase/{id}?c="))));
    assert_eq!(sleep, "00:05:00");
    let open = json!(["forced", "forced", "available"]);
    assert_eq!(world.told(id).await?, (200, open));
    assert_eq!(
        world.says_that_it_is_done(id).await?,
        UpdateStatus::Completed
    );
    Ok(())
}

#[tokio::test]
async fn files_that_are_fetched_ahead_are_not_installed() -> anyhow::Result<()> {
    let (world, id) = world(nightly(true)).await?;
    let (before, _) = world.polled().await?;
    assert!(before.is_some(), "it may be fetched");
    let closed = json!(["forced", "skip", "unavailable"]);
    assert_eq!(world.told(id).await?, (200, closed));
    for _ in 0..2 {
        assert_eq!(
            world.says_that_it_is_done(id).await?,
            UpdateStatus::Installing
        );
    }
    let (fetched, _) = world.polled().await?;
    world.clock.pass(UNTIL_IT_OPENS);
    let (opened, _) = world.polled().await?;
    assert_ne!(opened, fetched, "the link changes");
    let open = json!(["forced", "forced", "available"]);
    assert_eq!(world.told(id).await?, (200, open));
    assert_eq!(
        world.says_that_it_is_done(id).await?,
        UpdateStatus::Completed
    );
    let path = format!("{BASE}/installedBase/{id}");
    let installed = world.send(get(path)).await?.json();
    assert_eq!(
        installed["deployment"]["maintenanceWindow"],
        Value::Null,
        "what is done waits for nothing"
    );
    Ok(())
}

#[tokio::test]
async fn a_device_comes_more_often_towards_the_opening() -> anyhow::Result<()> {
    let (world, _) = world(nightly(false)).await?;
    let mut last = u64::MAX;
    for left in [10 * 60, 5 * 60, 2 * 60] {
        let now = world.engine.now().0 / 1000;
        let opening = 1_700_000_000 + UNTIL_IT_OPENS;
        world.clock.pass(opening - left - now);
        let sleep = seconds(&world.polled().await?.1);
        let third = u64::try_from(left)? / 3;
        let around = third * 8 / 10..=third * 12 / 10;
        assert!(around.contains(&sleep), "{left} left: {sleep}");
        assert!(sleep < last);
        last = sleep;
    }
    Ok(())
}

fn seconds(sleep: &str) -> u64 {
    let parts = sleep.split(':').map(str::parse::<u64>);
    parts.fold(0, |sum, part| sum * 60 + part.expect("a number"))
}
