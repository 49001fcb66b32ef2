use tidegate_core::id::CampaignId;

use super::get;
use crate::{
    Ctx, Result,
    ports::{JournalEntry, Page, PageRequest, Store},
};

/// A page of a campaign's journal, oldest first, after the entry with sequence number `after`.
pub async fn journal(
    ctx: &Ctx,
    store: &dyn Store,
    id: CampaignId,
    after: i64,
    page: PageRequest,
) -> Result<Page<JournalEntry>> {
    get(ctx, store, id).await?;
    Ok(store.journal(ctx.tenant, id, after, page).await?)
}
