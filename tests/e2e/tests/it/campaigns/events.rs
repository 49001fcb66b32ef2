//! Server-sent events.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{Event, RestResponse as _, TestTenant, both_databases};

both_databases!(a_campaign_is_followed_to_its_end);

async fn a_campaign_is_followed_to_its_end(tenant: TestTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .create_campaign(firmware, json!({ "max_concurrent_updates": 2 }))
        .await?;
    let mut events = tenant.follow_campaign(id).await?;
    let first = events.next().await?.context("no event")?;
    ensure!(
        first.name == "campaign" && first.data["status"] == "created",
        "{first:?}"
    );

    let ended = |event: &Event| event.name == "campaign" && event.data["status"] == "completed";
    let follow = tokio::spawn(async move { events.collect_until(ended).await });
    tenant.send_command(id, "start").await?;
    tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    let events = follow.await??;

    // Each decision is sent once and in order, as are the status and the counters of the campaign.
    let seqs: Vec<i64> = of_kind(&events, "decision")
        .filter_map(|data| data["seq"].as_i64())
        .collect();
    let written: Vec<i64> = tenant
        .journal(id)
        .await?
        .iter()
        .filter_map(|entry| entry["seq"].as_i64())
        .collect();
    ensure!(
        seqs == written,
        "events for {seqs:?}, journal entries {written:?}"
    );
    let mut completed = 0;
    let mut status = "created";
    for campaign in of_kind(&events, "campaign") {
        let now = campaign["completed_devices"].as_u64().context("no count")?;
        ensure!(now >= completed, "the counter decreased: {campaign}");
        completed = now;
        let now = campaign["status"].as_str().context("no status")?;
        let goes = [
            ("created", "created"),
            ("created", "in_progress"),
            ("created", "completed"),
            ("in_progress", "in_progress"),
            ("in_progress", "completed"),
        ];
        ensure!(goes.contains(&(status, now)), "{status} then {now}");
        status = now;
    }
    ensure!(
        completed == 4 && status == "completed",
        "{completed} {status}"
    );

    tenant
        .viewer
        .get("campaigns/987654/events")
        .await?
        .expect_problem(404, "not_found")?;
    Ok(())
}

fn of_kind<'a>(events: &'a [Event], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events
        .iter()
        .filter(move |event| event.name == kind)
        .map(|event| &event.data)
}
