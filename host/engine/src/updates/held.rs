use tidegate_core::device::Device;

use crate::{Engine, Error, Result, tenants::Actor};

/// What a device's open update waits for, for people, if no campaign made it: what campaigns made they explain
/// themselves.
pub async fn why_held(engine: &Engine, actor: &Actor, device: &Device) -> Result<Option<String>> {
    let Some(id) = device.open_update else {
        return Ok(None);
    };
    // It may be gone by now.
    let row = match super::get(engine, actor, id).await {
        Err(Error::NotFound { .. }) => return Ok(None),
        row => row?,
    };
    let why = row.update.progress.why_held(engine.now());
    let why = why.filter(|_| row.update.campaign.is_none());
    Ok(why.map(|why| format!("update {id} waits: {why}")))
}
