use std::time::Duration;

use tidegate_core::time::Timestamp;

use crate::{
    Caches, Ctx, Result,
    overdue::{overdue, overdue_of},
    ports::{Stats, Store},
};

/// The period of the `recently` counters.
const LAST_24_HOURS: Duration = Duration::from_hours(24);
/// Maximum number of counters deleted per transaction.
const OLD_HOURS_BATCH_SIZE: u32 = 500;

/// The counters of the actor's tenant, and those of the last 24 hours.
pub async fn stats(ctx: &Ctx, store: &dyn Store, caches: &Caches) -> Result<Stats> {
    let overdue = overdue(store, caches, ctx.tenant, ctx.now).await?;
    let stats = store.stats(ctx.tenant, period_start(ctx.now), overdue.as_ref());
    Ok(stats.await?)
}

/// The counters of each tenant, for metrics of the whole server: without those by version and by model.
pub async fn stats_of_all(
    store: &dyn Store,
    caches: &Caches,
    now: Timestamp,
) -> Result<Vec<Stats>> {
    let mut by_tenant = Vec::new();
    for tenant in store.tenants().await? {
        let overdue = overdue_of(&tenant, caches, now);
        let stats = store.stats_without_values(tenant.id, period_start(now), overdue.as_ref());
        by_tenant.push(stats.await?);
    }
    Ok(by_tenant)
}

/// Deletes the counters of hours before the period.
pub(crate) async fn delete_old_hours(store: &dyn Store, now: Timestamp) -> Result<()> {
    let (before, batch) = (period_start(now), OLD_HOURS_BATCH_SIZE);
    while store.delete_old_hours(before, batch).await? >= u64::from(batch) {}
    Ok(())
}

fn period_start(now: Timestamp) -> Timestamp {
    now.minus(LAST_24_HOURS)
}
