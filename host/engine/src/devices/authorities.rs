use std::{sync::Arc, time::Duration};

use tidegate_core::id::TenantId;

use super::doors::Remembered;
use crate::{Engine, Result, ports::Authority};

/// How long a tenant's authorities are remembered.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The authorities whose certificates devices of a tenant show, from memory, else from the store. Whoever remembers what
/// came of them goes by this very list: it is another one as soon as anything may have changed, and every ten seconds.
pub async fn authorities(engine: &Engine, tenant: TenantId) -> Result<Arc<[Authority]>> {
    let now = engine.now();
    if let Some(known) = engine.doors.authorities.get(&tenant)
        && known.is_fresh(now, REMEMBERED)
    {
        return Ok(known.said);
    }
    let said: Arc<[Authority]> = engine.store().authorities(tenant).await?.into();
    let remembered = Remembered {
        said: Arc::clone(&said),
        at: now,
    };
    engine.doors.authorities.insert(tenant, remembered);
    Ok(said)
}
