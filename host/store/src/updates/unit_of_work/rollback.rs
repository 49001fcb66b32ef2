//! The rollback backlog of campaigns.

use std::collections::BTreeMap;

use tidegate_core::{
    id::{CampaignId, DeviceKey, UpdateId},
    rollback::{RollbackAction, RollbackActionName},
    update::{Purpose, UpdateStatus},
    version::is_same,
};

use super::UpdateUnitOfWork;

impl UpdateUnitOfWork {
    /// Marks an ended update as processed by a rollback. Without effect if it is in no backlog.
    pub(crate) fn mark_rollback_processed(
        &mut self,
        campaign: CampaignId,
        id: UpdateId,
        action: RollbackAction,
    ) {
        let now = self.now;
        let action = RollbackActionName::from(action);
        if let Some(loaded) = self.loaded_mut(id)
            && loaded.is_in_rollback_backlog()
        {
            loaded.rollback_processed_at = Some(now);
            loaded.rollback_action = Some(action);
            self.counters.mark_rollback_processed(campaign, action);
        }
    }

    /// Returns an ended update to the rollback backlog of its campaign, if a rollback processed it and its device reports
    /// its version now.
    pub(crate) fn reopen_rollback(&mut self, id: UpdateId, reported: &BTreeMap<DeviceKey, String>) {
        let Some(loaded) = self.updates.get_mut(&id) else {
            return;
        };
        let update = &loaded.update;
        let version = reported.get(&update.device);
        let is_target = version.is_some_and(|version| is_same(&update.to_version, version));
        let Some((campaign, Purpose::Forward { .. })) = update.campaign else {
            return;
        };
        let was_processed = loaded.rollback_processed_at.is_some() && !update.attempt.is_retried;
        if is_target && was_processed && update.state.status != UpdateStatus::Completed {
            loaded.rollback_processed_at = None;
            let action = loaded.rollback_action.take();
            self.counters.reopen_rollback(campaign, action);
        }
    }
}
