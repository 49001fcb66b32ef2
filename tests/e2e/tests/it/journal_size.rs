//! A plugin that keeps a large state does not fill the journal with it.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{IsolatedTenant, both_databases, wait_until};
use tidegate_hostile::{Hooks, strategy_with};

use crate::hostile::start_with;

both_databases!(a_kept_state_is_stored_once_and_replayed);

const STATE_BYTES: usize = 65_536;

/// A strategy that waits and returns the same incompressible state each second.
async fn a_kept_state_is_stored_once_and_replayed(tenant: IsolatedTenant) -> Result<()> {
    tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    // Its inputs, which have the state too, begin at 65536.
    let decide = "
        (i32.store (i32.const 656) (i32.const 0))
        (i32.store (i32.const 680) (i32.const 1))
        (i64.store (i32.const 688) (i64.const 1000))
        (i32.store (i32.const 696) (i32.const 196608))
        (i32.store (i32.const 700) (i32.const 65536))
        (i32.const 640)";
    let mut random = 1_u32;
    let state: Vec<u8> = (0..STATE_BYTES)
        .map(|_| {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            random as u8
        })
        .collect();
    let hooks = Hooks::default().decide(decide).data(196_608, &state);
    let id = start_with(&tenant, firmware, strategy_with(&hooks)?, json!({})).await?;
    let is_decision = |entry: &Value| entry["kind"] == "decide";
    let journal = wait_until("ten decisions are made", async || {
        tenant.advance(Duration::from_hours(1));
        let journal = tenant.journal(id).await?;
        let decisions = journal.iter().filter(|entry| is_decision(entry)).count();
        Ok((decisions >= 10).then_some(journal))
    })
    .await?;
    let shown = tenant.viewer.get(&format!("stats/campaigns/{id}")).await?;
    let shown = shown.expect_status(200)?.json()?;
    let bytes = shown["journal_bytes"]
        .as_u64()
        .context("a number of bytes")?;
    ensure!(
        (STATE_BYTES as u64..2 * STATE_BYTES as u64).contains(&bytes),
        "{bytes} bytes for {} entries",
        journal.len()
    );
    let replayed = tenant
        .viewer
        .post(
            &format!("campaigns/{id}/journal/replay?limit=500"),
            &json!({}),
        )
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(
        replayed["entries"].as_u64() >= Some(10) && replayed["same"] == replayed["entries"],
        "{replayed}"
    );
    Ok(())
}
