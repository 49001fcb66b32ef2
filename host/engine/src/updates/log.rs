use tidegate_core::{
    id::{DeviceKey, UpdateId},
    log::{LogLine, MAX_LINES},
};

use crate::{
    Ctx, Result,
    ports::{PageRequest, Store, UpdateFilter, UpdateRow},
};

/// A part of an update's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateLog {
    /// The update before the lines were read.
    pub update: UpdateRow,
    /// In order.
    pub lines: Vec<LogLine>,
    /// How many older lines were dropped.
    pub dropped: u64,
}

/// The log of an update: the first `limit` lines after `after`, or else the newest ones.
pub async fn log(
    ctx: &Ctx,
    store: &dyn Store,
    id: UpdateId,
    after: Option<u64>,
    limit: u32,
) -> Result<UpdateLog> {
    let update = super::get(ctx, store, id).await?;
    let after = if let Some(after) = after {
        after
    } else {
        // Lines that arrive meanwhile follow these.
        let all = store.log(ctx.tenant, id, u64::MAX, 1).await?;
        all.total.saturating_sub(u64::from(limit))
    };
    let log = store.log(ctx.tenant, id, after, limit).await?;
    Ok(UpdateLog {
        update,
        lines: log.lines,
        dropped: log.total.saturating_sub(MAX_LINES),
    })
}

/// The id of a device's newest update.
pub async fn newest_update(
    ctx: &Ctx,
    store: &dyn Store,
    device: DeviceKey,
) -> Result<Option<UpdateId>> {
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device),
        status: None,
    };
    let first = PageRequest {
        limit: 1,
        offset: 0,
    };
    let page = store.list_updates(ctx.tenant, &filter, first).await?;
    Ok(page.items.first().map(|row| row.update.id))
}
