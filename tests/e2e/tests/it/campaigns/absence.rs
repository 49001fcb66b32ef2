//! A server that was away for hours: what its devices could not report is not their silence.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{Device, Finished, IsolatedTenant, both_databases, close, wait_until};
use tidegate_engine::campaigns;

both_databases!(a_success_that_comes_late_counts);

/// The longest time between two heartbeats is 30 s.
const STEP: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_mins(1);
/// Two polling intervals of the default settings, in which time stands still after a start and after an absence.
const GRACE: Duration = Duration::from_mins(10);

/// A device reports success after it has timed out. Had that not counted, the next failure would reach the failure ceiling.
async fn a_success_that_comes_late_counts(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 5).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({
        "timeout_minutes": 60, "failure_threshold_percent": 50, "auto_rollback": true,
        "max_concurrent_updates": 4,
    });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 4 }))
        .await?;
    let mut updates = Vec::new();
    for device in &fleet {
        updates.push(device.offer().await?.map(|offer| offer.id));
    }
    let last = updates
        .iter()
        .position(Option::is_none)
        .context("all devices are offered it")?;
    let mut last = fleet.remove(last);
    let updates: Vec<_> = updates.into_iter().flatten().collect();
    let succeed = async |number: usize| -> Result<()> {
        let device: &Device = &fleet[number];
        let answer = device
            .feedback(&updates[number], &close(Finished::Success))
            .await?;
        answer.expect_status(200)?;
        Ok(())
    };

    let (engine, clock) = (&tenant.server.engine, &tenant.server.clock);
    clock.become_wall_clock();
    wait_until("a heartbeat is recorded", async || {
        Ok(engine.store().reporting_clock().await?.beat_at)
    })
    .await?;
    let pass = async |time: Duration| -> Result<()> {
        for _ in 0..time.as_secs() / STEP.as_secs() {
            tenant.advance(STEP);
            campaigns::expire_batch(engine).await?;
        }
        Ok(())
    };
    pass(GRACE + 10 * MINUTE).await?;
    let before = engine.store().reporting_clock().await?.runs_from;
    tenant.advance(Duration::from_hours(2));
    wait_until("the absence is noticed", async || {
        campaigns::expire_batch(engine).await?;
        let runs_from = engine.store().reporting_clock().await?.runs_from;
        Ok((runs_from != before).then_some(()))
    })
    .await?;
    succeed(0).await?;
    succeed(1).await?;
    let counts =
        json!({ "completed_devices": 2, "in_progress_devices": 3, "timed_out_devices": 0 });
    tenant.wait_for_counts(id, counts).await?;

    // Two devices stay silent for the rest of their time. That of the last one began later.
    let mut waited = Duration::ZERO;
    while tenant.get_campaign(id).await?["timed_out_devices"] == 0 {
        ensure!(
            waited < Duration::from_hours(2),
            "silent devices do not time out"
        );
        pass(5 * MINUTE).await?;
        waited += 5 * MINUTE;
    }
    ensure!(waited >= GRACE + 45 * MINUTE, "they had {waited:?} only");
    tenant
        .wait_for_counts(
            id,
            json!({ "timed_out_devices": 2, "in_progress_devices": 1 }),
        )
        .await?;
    succeed(2).await?;
    tenant
        .wait_for_counts(
            id,
            json!({ "completed_devices": 3, "timed_out_devices": 1 }),
        )
        .await?;
    ensure!(last.fail("no space left").await?, "there is no update");
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(
        campaign["completed_devices"] == 3
            && campaign["timed_out_devices"] == 1
            && campaign["failed_devices"] == 1,
        "{campaign}"
    );
    Ok(())
}
