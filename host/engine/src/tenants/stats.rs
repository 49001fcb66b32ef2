use std::time::Duration;

use tidegate_core::time::Timestamp;

use crate::{
    Caches, Ctx, Result,
    overdue::{overdue, overdue_of},
    ports::{Stats, Store},
};

/// The period of the `recently` counters.
const LAST_24_HOURS: Duration = Duration::from_hours(24);

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

fn period_start(now: Timestamp) -> Timestamp {
    Timestamp(now.0 - LAST_24_HOURS.as_millis() as i64)
}
