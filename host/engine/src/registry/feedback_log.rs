use tidegate_core::id::UpdateId;

use crate::{
    Ctx, Error, Result,
    ports::{FeedbackRow, PageRequest, Store, UpdateFilter, UpdateRow},
};

/// The feedback on one update of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackLog {
    /// The update; `None` if the device has none.
    pub update: Option<UpdateRow>,
    /// The feedback, newest first.
    pub lines: Vec<FeedbackRow>,
}

/// The feedback on one update of a device, by default its newest one; at most `limit` entries.
pub async fn feedback_log(
    ctx: &Ctx,
    store: &dyn Store,
    device_id: &str,
    update: Option<UpdateId>,
    limit: u32,
) -> Result<FeedbackLog> {
    let device = super::get_stored(ctx, store, device_id).await?;
    let update = if let Some(id) = update {
        let found = store.update(ctx.tenant, id).await?;
        let own = found.filter(|row| row.update.device == device.key);
        Some(own.ok_or_else(|| Error::not_found("update", id))?)
    } else {
        let filter = UpdateFilter {
            campaign: None,
            device: Some(device.key),
            status: None,
        };
        let newest = PageRequest {
            limit: 1,
            offset: 0,
        };
        store
            .list_updates(ctx.tenant, &filter, newest)
            .await?
            .items
            .pop()
    };
    let lines = match &update {
        Some(row) => store.history(ctx.tenant, row.update.id, limit).await?,
        None => Vec::new(),
    };
    Ok(FeedbackLog { update, lines })
}
