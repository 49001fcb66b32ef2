//! Due retries of a campaign that limits its concurrent updates.

use super::{BATCH_SIZE, MAX_BATCHES, Tick};
use crate::{Error, Result, ports::Run};

impl Tick<'_> {
    /// Offers due retries as far as the campaign's limit allows, before the strategy releases further devices. Returns
    /// the campaign as it is afterwards. Without a limit, the deadline loop offers retries.
    ///
    /// A retry that is not due does not count towards the limit. Deciding here, under the lease, keeps the limit although
    /// devices and retries compete for it.
    pub(super) async fn offer_due_retries(&self, run: Run) -> Result<Run> {
        let Some(limit) = run.campaign.spec.max_concurrent_updates else {
            return Ok(run);
        };
        let mut allowed = limit.saturating_sub(run.concurrent_updates());
        if run.scheduled_retries == 0 || allowed == 0 {
            return Ok(run);
        }
        let mut has_changed = false;
        for _ in 0..MAX_BATCHES {
            let batch = u32::try_from(allowed).unwrap_or(u32::MAX).min(BATCH_SIZE);
            let affected = self
                .engine
                .store()
                .offer_due_retries(self.run, self.fence, batch, self.now)
                .await?;
            self.invalidate(&affected);
            has_changed |= !affected.is_empty();
            allowed -= affected.len() as u64;
            if affected.len() < batch as usize || allowed == 0 {
                break;
            }
        }
        if !has_changed {
            return Ok(run);
        }
        let changed = self.engine.store().run(self.run).await?;
        changed.ok_or_else(|| Error::not_found("campaign", self.run.campaign))
    }
}
