//! Campaigns of a strategy that burns fuel, beside those of another strategy and of another tenant, with real components.

use std::{collections::HashSet, sync::Arc, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_core::id::CampaignId;
use tidegate_e2e::{IsolatedTenant, TestTenant, both_databases, wait_until};
use tidegate_engine::ports::RunRef;
use tidegate_hostile::{Hooks, strategy_with};
use tokio::{sync::broadcast::Receiver, time::timeout};

use crate::campaigns::move_revision::uploaded;

both_databases!(campaigns_that_burn_fuel_delay_no_others);

/// Five times as many as the campaigns of one tenant that are processed at a time.
const BURNING: usize = 40;
/// With turns of their own, others wait for what runs. Without, they would wait for the 31 campaigns that do not run yet.
const MAX_DECISIONS_BEFORE: usize = BURNING / 2;
const MAX_WAIT: Duration = Duration::from_mins(1);

async fn campaigns_that_burn_fuel_delay_no_others(tenant: IsolatedTenant) -> Result<()> {
    let other_tenant = TestTenant::new(Arc::clone(&tenant.server)).await?;
    let mut waiting = vec![
        ("another strategy", start_immediate(&tenant).await?),
        ("another tenant", start_immediate(&other_tenant).await?),
    ];
    let burning = start_burning(&tenant).await?;
    let signals = tenant.server.engine.signals();
    for run in &burning {
        signals.wake_campaign(*run);
    }
    // From now on a change of one of them is a decision.
    let mut changes = signals.watch();
    while !burning.contains(&next_change(&mut changes).await?) {}
    for (_, other) in &waiting {
        signals.wake_campaign(*other);
    }
    let (mut decisions, mut woken) = (0, HashSet::new());
    while !waiting.is_empty() {
        let run = next_change(&mut changes).await?;
        decisions += usize::from(burning.contains(&run));
        let Some(at) = waiting.iter().position(|(_, other)| *other == run) else {
            continue;
        };
        // The first change of another campaign is that it is woken.
        if !woken.insert(run) {
            let (whose, _) = waiting.remove(at);
            ensure!(
                decisions <= MAX_DECISIONS_BEFORE,
                "the campaign of {whose} waited for {decisions} decisions"
            );
        }
    }
    Ok(())
}

async fn next_change(changes: &mut Receiver<RunRef>) -> Result<RunRef> {
    Ok(timeout(MAX_WAIT, changes.recv()).await??)
}

fn run_of(tenant: &TestTenant, campaign: i64) -> RunRef {
    RunRef {
        tenant: tenant.record.id,
        campaign: CampaignId(campaign),
    }
}

/// Starts a campaign of a built-in strategy, which waits for its device.
async fn start_immediate(tenant: &TestTenant) -> Result<RunRef> {
    tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    let offered = json!({ "in_progress_devices": 1 });
    tenant.wait_for_counts(id, offered).await?;
    Ok(run_of(tenant, id))
}

/// Starts campaigns that burn fuel when they are woken, and waits until they sleep.
async fn start_burning(tenant: &TestTenant) -> Result<HashSet<RunRef>> {
    let decide = "
        (local.set $at (i32.const 2000000))
        (loop $again
          (local.set $at (i32.sub (local.get $at) (i32.const 1)))
          (br_if $again (local.get $at)))
        (i32.store (i32.const 656) (i32.const 0))
        (i32.const 640)";
    let component = strategy_with(&Hooks::default().decide(decide))?;
    let revision = uploaded(tenant, component).await?;
    let strategy = json!({
        "plugin": revision["plugin"], "revision": revision["revision"], "config": {},
    });
    let firmware = tenant.upload_firmware("2.1.0").await?;
    let mut runs = HashSet::new();
    for _ in 0..BURNING {
        let id = tenant.start_campaign(firmware, json!({ "strategy": strategy }));
        let id = id.await?;
        wait_until("the campaign decides", async || {
            let journal = tenant.journal(id).await?;
            let mut entries = journal.iter();
            Ok(entries.any(|entry| entry["kind"] == "decide").then_some(()))
        })
        .await?;
        runs.insert(run_of(tenant, id));
    }
    Ok(runs)
}
