//! Maintenance windows, as devices see them.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use tidegate_core::{
    id::UpdateId,
    update::{UpdateOptions, UpdateStatus},
    window::{MaintenanceWindow, WindowSpec},
};

use crate::{
    raw_http::{get, request},
    test_server::TestServer,
};

const BASE: &str = "/lab/controller/v1/dev-1";
/// The server's clock starts at 22:13:20; the window opens at 23:00.
const SECONDS_UNTIL_WINDOW: i64 = 46 * 60 + 40;

fn nightly(prefetch: bool) -> UpdateOptions {
    let window = MaintenanceWindow::new(WindowSpec {
        schedule: "0 23 * * *".to_owned(),
        duration: Duration::from_hours(1),
        timezone: "UTC".to_owned(),
        prefetch,
    });
    UpdateOptions {
        window: Some(Arc::new(window.expect("a valid window"))),
        ..UpdateOptions::forced(Duration::from_mins(30))
    }
}

/// A server with a device that has an update with these options.
async fn server(options: UpdateOptions) -> anyhow::Result<(TestServer, UpdateId)> {
    let server = TestServer::anonymous().await?;
    server.send(get(BASE)).await?;
    let id = server.offer_with("dev-1", "1.1.0", options).await?;
    Ok((server, id))
}

impl TestServer {
    async fn poll(&self) -> anyhow::Result<(Option<String>, String)> {
        let body = self.send(get(BASE)).await?.json();
        let href = body["_links"]["deploymentBase"]["href"].as_str();
        let sleep = body["config"]["polling"]["sleep"].as_str();
        Ok((
            href.map(str::to_owned),
            sleep.unwrap_or_default().to_owned(),
        ))
    }

    async fn deployment(&self, id: UpdateId) -> anyhow::Result<(u16, Value)> {
        let response = self
            .send(get(format!("{BASE}/deploymentBase/{id}")))
            .await?;
        if response.status != 200 {
            return Ok((response.status, Value::Null));
        }
        let body = &response.json()["deployment"];
        let fields = ["download", "update", "maintenanceWindow"].map(|field| body[field].clone());
        Ok((response.status, fields.into_iter().collect()))
    }

    async fn report_success(&self, id: UpdateId) -> anyhow::Result<UpdateStatus> {
        let body = json!({"status": {"execution": "closed", "result": {"finished": "success"}}});
        let feedback = request("POST", format!("{BASE}/deploymentBase/{id}/feedback")).json(&body);
        assert_eq!(self.send(feedback).await?.status, 200);
        let row = self.engine.store().update(self.tenant, id).await?;
        Ok(row.expect("the update").update.state.status)
    }
}

#[tokio::test]
async fn an_update_is_not_offered_outside_its_window() -> anyhow::Result<()> {
    let (server, id) = server(nightly(false)).await?;
    assert_eq!(server.poll().await?, (None, "00:05:00".to_owned()));
    assert_eq!(server.deployment(id).await?.0, 404);
    let written = server.engine.store().update(server.tenant, id).await?;
    assert_eq!(
        written.map(|row| row.revision),
        Some(0),
        "the update is unchanged"
    );

    server.clock.advance(SECONDS_UNTIL_WINDOW);
    let (href, sleep) = server.poll().await?;
    assert!(href.is_some_and(|href| href.contains(&format!("/deploymentBase/{id}?c="))));
    assert_eq!(sleep, "00:05:00");
    let open = json!(["forced", "forced", "available"]);
    assert_eq!(server.deployment(id).await?, (200, open));
    assert_eq!(server.report_success(id).await?, UpdateStatus::Completed);
    Ok(())
}

#[tokio::test]
async fn prefetched_files_are_not_installed() -> anyhow::Result<()> {
    let (server, id) = server(nightly(true)).await?;
    let (before, _) = server.poll().await?;
    assert!(before.is_some(), "it may be prefetched");
    let closed = json!(["forced", "skip", "unavailable"]);
    assert_eq!(server.deployment(id).await?, (200, closed));
    for _ in 0..2 {
        assert_eq!(server.report_success(id).await?, UpdateStatus::Installing);
    }
    let (fetched, _) = server.poll().await?;
    server.clock.advance(SECONDS_UNTIL_WINDOW);
    let (opened, _) = server.poll().await?;
    assert_ne!(opened, fetched, "the link changes");
    let open = json!(["forced", "forced", "available"]);
    assert_eq!(server.deployment(id).await?, (200, open));
    assert_eq!(server.report_success(id).await?, UpdateStatus::Completed);
    let path = format!("{BASE}/installedBase/{id}");
    let installed = server.send(get(path)).await?.json();
    assert_eq!(
        installed["deployment"]["maintenanceWindow"],
        Value::Null,
        "a completed update does not wait for its window"
    );
    Ok(())
}

#[tokio::test]
async fn the_poll_interval_shortens_before_the_window_opens() -> anyhow::Result<()> {
    let (server, _) = server(nightly(false)).await?;
    let mut last = u64::MAX;
    for left in [10 * 60, 5 * 60, 2 * 60] {
        let now = server.engine.now().0 / 1000;
        let opening = 1_700_000_000 + SECONDS_UNTIL_WINDOW;
        server.clock.advance(opening - left - now);
        let sleep = seconds(&server.poll().await?.1);
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
