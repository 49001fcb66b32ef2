use std::time::Duration;

use tidegate_core::{id::TenantId, time::Timestamp};

use crate::{
    Ctx, Result,
    ports::{Stats, Store},
};

/// The period of the `recently` counters.
const LAST_24_HOURS: Duration = Duration::from_hours(24);

/// The counters of the actor's tenant, and those of the last 24 hours.
pub async fn stats(ctx: &Ctx, store: &dyn Store) -> Result<Stats> {
    stats_of(store, ctx.tenant, ctx.now).await
}

/// The counters of each tenant, for metrics of the whole server.
pub async fn stats_of_all(store: &dyn Store, now: Timestamp) -> Result<Vec<Stats>> {
    let mut by_tenant = Vec::new();
    for tenant in store.tenants().await? {
        by_tenant.push(stats_of(store, tenant.id, now).await?);
    }
    Ok(by_tenant)
}

async fn stats_of(store: &dyn Store, tenant: TenantId, now: Timestamp) -> Result<Stats> {
    let since = Timestamp(now.0 - LAST_24_HOURS.as_millis() as i64);
    Ok(store.stats(tenant, since).await?)
}
