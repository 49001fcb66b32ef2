use std::time::Duration;

use tidegate_core::{id::TenantId, time::Timestamp};

use crate::{
    Caches, Ctx, Result,
    overdue::{overdue, overdue_of},
    ports::{OverdueRule, Stats, Store},
};

/// The period of the `recently` counters.
const LAST_24_HOURS: Duration = Duration::from_hours(24);

/// The counters of the actor's tenant, and those of the last 24 hours.
pub async fn stats(ctx: &Ctx, store: &dyn Store, caches: &Caches) -> Result<Stats> {
    let overdue = overdue(store, caches, ctx.tenant, ctx.now).await?;
    stats_of(store, ctx.tenant, ctx.now, overdue.as_ref()).await
}

/// The counters of each tenant, for metrics of the whole server.
pub async fn stats_of_all(
    store: &dyn Store,
    caches: &Caches,
    now: Timestamp,
) -> Result<Vec<Stats>> {
    let mut by_tenant = Vec::new();
    for tenant in store.tenants().await? {
        let overdue = overdue_of(&tenant, caches, now);
        by_tenant.push(stats_of(store, tenant.id, now, overdue.as_ref()).await?);
    }
    Ok(by_tenant)
}

async fn stats_of(
    store: &dyn Store,
    tenant: TenantId,
    now: Timestamp,
    overdue: Option<&OverdueRule>,
) -> Result<Stats> {
    let since = Timestamp(now.0 - LAST_24_HOURS.as_millis() as i64);
    Ok(store.stats(tenant, since, overdue).await?)
}
