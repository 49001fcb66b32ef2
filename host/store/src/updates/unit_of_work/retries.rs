use tidegate_core::{
    id::TenantId,
    time::Timestamp,
    update::{Attempt, Update, UpdateState, UpdateStatus},
};
use tidegate_engine::ports::StoreError;

use super::loaded_update::{self, InstalledBefore, LoadedUpdate, NewUpdate};
use crate::database::Tx;

impl LoadedUpdate {
    /// The next try, if the step that the update just took from `before` is followed by one; it still needs an id. What
    /// was called back once is not tried again, whatever its device made of that.
    pub(super) fn next_retry(&mut self, before: UpdateStatus, at: Timestamp) -> Option<Update> {
        if self.cancel_requests > 0 || self.cancel_requested_at.is_some() {
            return None;
        }
        let scheduled_at = self.update.next_retry_at(before, at)?;
        self.update.attempt.is_retried = true;
        // A rollback looks at the last try alone.
        self.rollback_processed_at = Some(at);
        let (state, attempt) = (&self.update.state, self.update.attempt);
        Some(Update {
            state: UpdateState {
                installed_reported: state.installed_reported,
                ..UpdateState::scheduled(
                    state.success_criteria,
                    state.options.clone(),
                    scheduled_at,
                )
            },
            created_at: at,
            attempt: Attempt {
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
        loaded_update::insert(tx, tenant, &new).await?;
    }
    Ok(())
}

fn new(update: Update) -> (NewUpdate, InstalledBefore) {
    let from = InstalledBefore {
        version: update.from_version,
        firmware: update.from_firmware,
    };
    let new = NewUpdate {
        device: update.device,
        firmware: update.firmware,
        campaign: update.campaign,
        weight: update.weight,
        to_version: update.to_version,
        state: update.state,
        created_at: update.created_at,
        attempt: update.attempt,
    };
    (new, from)
}
