use tidegate_core::{id::UpdateId, update::UpdateStatus};

use super::{Caller, deployment::own_update};
use crate::{Engine, Error, Result};

/// Checks that this update of the device is being cancelled or is cancelled.
pub async fn check_cancel_action(engine: &Engine, caller: &Caller, id: UpdateId) -> Result<()> {
    let (_, row) = own_update(engine, caller, id).await?;
    match row.update.state.status {
        UpdateStatus::Cancelling | UpdateStatus::Cancelled => Ok(()),
        _ => Err(Error::not_found("cancelled update", id)),
    }
}
