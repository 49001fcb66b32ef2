use tidegate_core::id::CampaignId;

use crate::{
    Authorized, Error, Operator, Result, Signals,
    ports::{RunRef, Store, StoreError},
};

/// Deletes a campaign that has never started.
pub async fn delete(
    ctx: &Authorized<Operator>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
) -> Result<()> {
    match store.delete_campaign(ctx, id).await {
        Ok(true) => {
            signals.notify_watchers(RunRef {
                tenant: ctx.tenant,
                campaign: id,
            });
            Ok(())
        }
        Ok(false) => Err(Error::not_found("campaign", id)),
        Err(StoreError::Conflict(message)) => Err(Error::conflict("campaign_started", message)),
        Err(error) => Err(error.into()),
    }
}
