use std::time::Duration;

use tidegate_core::time::Timestamp;

use crate::{
    Ctx, Result,
    ports::{Stats, Store},
};

/// The period of the `recently` counters.
const LAST_24_HOURS: Duration = Duration::from_hours(24);

/// The counters of the actor's tenant, and those of the last 24 hours.
pub async fn stats(ctx: &Ctx, store: &dyn Store) -> Result<Stats> {
    let since = Timestamp(ctx.now.0 - LAST_24_HOURS.as_millis() as i64);
    Ok(store.stats(ctx.tenant, since).await?)
}
