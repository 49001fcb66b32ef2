use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{Applied, Fence, RunRef, StoreError};

use super::lease::under;
use crate::{
    campaigns::{Standing, lock_counters},
    database::{Database, Tx},
    error::failed,
    packed::pack_states,
    rows::{Columns as _, bad_row, number},
    tallies::Tallies,
};

/// Applies what a tick decided, if the campaign is still at this generation and under this fence. False: it was not,
/// and nothing was done.
pub(super) async fn apply(
    database: &Database,
    run: RunRef,
    fence: Fence,
    applied: Applied,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let Some(mut standing) = under(&mut tx, run, fence).await? else {
        return Ok(false);
    };
    if standing.generation != applied.generation {
        return Ok(false);
    }
    if changes(&standing, &applied) {
        standing.generation += 1;
    }
    move_on(&mut standing, &applied)?;
    standing.record(&mut tx, &applied.journal).await?;
    let mut tallies = Tallies::default();
    standing.write(&mut tx, &mut tallies).await?;
    if let Some(levels) = &applied.levels {
        raise(&mut tx, run, levels, applied.at).await?;
    }
    let policies = applied.policy_states.as_deref().map(pack_states);
    remember(&mut tx, run, applied.strategy_state, policies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(true)
}

/// A new wake-up alone is no change: it must not make what an operator does meanwhile come too late.
fn changes(standing: &Standing, applied: &Applied) -> bool {
    let wakes_only = Applied {
        wake_at: applied.wake_at,
        ..Applied::nothing(applied.generation, applied.at, standing.trouble)
    };
    *applied != wakes_only
}

fn move_on(standing: &mut Standing, applied: &Applied) -> Result<(), StoreError> {
    standing.trouble = applied.trouble;
    if let Some(status) = applied.status {
        standing.go(status);
    }
    if let Some(hold) = applied.hold.clone() {
        standing.hold(hold)?;
    }
    if let Some(rollback) = applied.rollback.clone() {
        standing.roll_back(rollback)?;
    }
    if let Some(explain) = &applied.explain {
        standing.explain(explain)?;
    }
    standing.wake_at = applied.wake_at;
    standing.ended_at = applied.ended_at.or(standing.ended_at);
    Ok(())
}

/// Raises the levels of waves; one that is not higher than before stays.
async fn raise(tx: &mut Tx, run: RunRef, levels: &[u64], at: Timestamp) -> Result<(), StoreError> {
    const RAISE: &str = "release devices";
    let rows = sqlx::query(
        "SELECT wave, released FROM waves WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY wave",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(RAISE))?;
    let released: Result<Vec<u64>, _> = rows.iter().map(|row| row.count("released")).collect();
    let released = released.map_err(bad_row(RAISE))?;
    let risen = (0_i64..)
        .zip(levels.iter().zip(released))
        .filter(|(_, (level, released))| *level > released);
    let risen: Vec<_> = risen.map(|(wave, (level, _))| (wave, *level)).collect();
    if risen.is_empty() {
        return Ok(());
    }
    lock_counters(tx, run.tenant, run.campaign).await?;
    for (wave, level) in risen {
        sqlx::query(
            "UPDATE waves SET released = $4, opened_at = COALESCE(opened_at, $5) \
             WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
        )
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(wave)
        .bind(number(level))
        .bind(at.0)
        .execute(tx.conn())
        .await
        .map_err(failed(RAISE))?;
    }
    Ok(())
}

/// Keeps the new states of plugins; what is none stays as it is.
async fn remember(
    tx: &mut Tx,
    run: RunRef,
    strategy: Option<Vec<u8>>,
    policies: Option<Vec<u8>>,
) -> Result<(), StoreError> {
    if strategy.is_none() && policies.is_none() {
        return Ok(());
    }
    sqlx::query(
        "UPDATE campaign_states SET strategy_state = COALESCE($3, strategy_state), \
         policy_states = COALESCE($4, policy_states) WHERE tenant_id = $1 AND campaign_id = $2",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(strategy)
    .bind(policies)
    .execute(tx.conn())
    .await
    .map_err(failed("keep the states of plugins"))?;
    Ok(())
}
