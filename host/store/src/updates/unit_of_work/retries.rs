use tidegate_core::{
    id::TenantId,
    time::Timestamp,
    update::{Attempt, Update, UpdateEvent, UpdateState, UpdateStatus},
};
use tidegate_engine::ports::StoreError;

use super::{
    loaded_update::LoadedUpdate,
    new_updates::{self, NewUpdate, PreviousInstallation},
};
use crate::database::Tx;

impl LoadedUpdate {
    /// The retry that follows a transition from `before`, if there is one; it has no id yet. A cancelled update is
    /// not retried, whatever its device answered.
    pub(super) fn next_retry(&mut self, before: UpdateStatus, at: Timestamp) -> Option<Update> {
        if self.cancel_requests > 0 || self.cancel_requested_at.is_some() {
            return None;
        }
        let scheduled_at = self.update.next_retry_at(before, at)?;
        self.update.attempt.is_retried = true;
        // A rollback processes the last attempt only.
        self.rollback_processed_at = Some(at);
        self.rollback_action = None;
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

    /// The update that follows the completion of an intermediate step, if it is one; it has no id yet. It is cancelled if
    /// the step is: the device installed its firmware nevertheless.
    pub(super) fn next_step(&mut self, at: Timestamp) -> Option<Update> {
        let mut next = self.update.next_step(at)?;
        self.update.attempt.is_retried = true;
        // A rollback processes the last step only.
        self.rollback_processed_at = Some(at);
        self.rollback_action = None;
        if self.cancel_requests > 0 || self.cancel_requested_at.is_some() {
            // Cannot fail: a scheduled update can be cancelled.
            next.state = next.state.after(&UpdateEvent::CancelRequested, at).ok()?;
        }
        Some(next)
    }
}

/// Inserts retries and next steps after the updates whose place they take were written. They keep the firmware from before
/// the first attempt of the first step, to which a rollback returns.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    retries: impl Iterator<Item = Update>,
) -> Result<(), StoreError> {
    let new: Vec<_> = retries.map(new).collect();
    if !new.is_empty() {
        new_updates::insert(tx, tenant, &new).await?;
    }
    Ok(())
}

fn new(update: Update) -> (NewUpdate, PreviousInstallation) {
    let from = PreviousInstallation {
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
        compatibility: update.compatibility,
        // That of the first attempt counts.
        authorship: None,
    };
    (new, from)
}
