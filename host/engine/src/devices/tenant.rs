use std::{sync::Arc, time::Duration};

use super::doors::Remembered;
use crate::{Engine, Error, Result, ports::Tenant, tenants};

/// How long a tenant that is not there is remembered as such. One that is there stays.
const ABSENT: Duration = Duration::from_secs(1);
/// Longest name that is looked for, in bytes.
const MAX_NAME: usize = 64;

/// The tenant of this name, whatever the case of its letters.
pub async fn tenant(engine: &Engine, name: &str) -> Result<Arc<Tenant>> {
    let absent = || Error::not_found("tenant", name);
    if name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(absent());
    }
    if let Some(known) = engine.doors.tenant(name) {
        match known.said {
            Some(tenant) => return Ok(tenant),
            None if known.is_fresh(engine.now(), ABSENT) => return Err(absent()),
            None => {}
        }
    }
    let (at, changes) = (engine.now(), engine.doors.changes());
    let said = tenants::by_name(engine, name).await?.map(Arc::new);
    let remembered = Remembered {
        said: said.clone(),
        at,
    };
    engine.doors.tenant_was_read(changes, name, remembered);
    said.ok_or_else(absent)
}
