use tidegate_core::{
    id::TenantId,
    time::Timestamp,
    update::{Progress, Try, Update, UpdateStatus},
};
use tidegate_engine::ports::StoreError;

use super::entry::{self, Entry, NewUpdate, Ran};
use crate::database::Tx;

impl Entry {
    /// The next try, if the step that the update just took from `before` is followed by one; it still needs an id. What
    /// was called back once is not tried again, whatever its device made of that.
    pub(super) fn try_again(&mut self, before: UpdateStatus, at: Timestamp) -> Option<Update> {
        if self.call_backs > 0 || self.called_back_at.is_some() {
            return None;
        }
        let scheduled_at = self.update.next_try(before, at)?;
        self.update.attempt.is_retried = true;
        // A rollback looks at the last try alone.
        self.looked_at = Some(at);
        let (progress, attempt) = (&self.update.progress, self.update.attempt);
        Some(Update {
            progress: Progress {
                went_over: progress.went_over,
                ..Progress::scheduled(progress.proof, progress.terms.clone(), scheduled_at)
            },
            created_at: at,
            attempt: Try {
                count: attempt.count + 1,
                first: attempt.first.or(Some(self.update.id)),
                scheduled_at: Some(scheduled_at),
                is_retried: false,
            },
            ..self.update.clone()
        })
    }
}

/// Makes the next tries, after those that they follow were written. What the device ran before the first try is what it
/// goes back to after the last one.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    tries: impl Iterator<Item = Update>,
) -> Result<(), StoreError> {
    let new: Vec<_> = tries.map(new).collect();
    if !new.is_empty() {
        entry::insert(tx, tenant, &new).await?;
    }
    Ok(())
}

fn new(update: Update) -> (NewUpdate, Ran) {
    let from = Ran {
        version: update.from_version,
        firmware: update.from_firmware,
    };
    let new = NewUpdate {
        device: update.device,
        firmware: update.firmware,
        campaign: update.campaign,
        weight: update.weight,
        to_version: update.to_version,
        progress: update.progress,
        created_at: update.created_at,
        attempt: update.attempt,
    };
    (new, from)
}
