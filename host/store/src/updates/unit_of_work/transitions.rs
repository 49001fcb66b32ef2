//! Transitions of updates with their effects.

use tidegate_core::{
    device::DeviceState,
    id::{DeviceKey, UpdateId},
    time::Timestamp,
    update::{EventError, Update, UpdateEvent, UpdateState, UpdateStatus},
};

use super::{LoadedUpdate, UpdateUnitOfWork};
use crate::tenant_counters::TenantCounters;

impl UpdateUnitOfWork {
    /// Applies an event: computes the transition and applies its effects. Returns false if nothing changed, or if the
    /// update is not loaded.
    pub(crate) fn apply_event(
        &mut self,
        id: UpdateId,
        event: &UpdateEvent,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) -> Result<bool, EventError> {
        let Some(loaded) = self.updates.get(&id) else {
            return Ok(false);
        };
        let mut after = loaded.update.state.clone().after(event, at)?;
        let ends_by_silence = *event == UpdateEvent::DeadlinePassed
            && loaded.update.state.status.is_open()
            && after.is_completed_by_version();
        if ends_by_silence && self.was_seen_running(&loaded.update) {
            // Its success may be lost; its version, reported before the deadline, counts as one reported after it.
            after = after.after(&UpdateEvent::VersionReported { is_target: true }, at)?;
        }
        Ok(self.apply_transition(id, event, after, at, tenant_counters))
    }

    fn was_seen_running(&self, update: &Update) -> bool {
        let device = self.device(update.device);
        device.is_some_and(|device| update.was_seen_running(device.sw_version.as_deref()))
    }

    /// Applies the transition to `after`, which `event` causes, and its effects. Returns as [`Self::apply_event`].
    pub(crate) fn apply_transition(
        &mut self,
        id: UpdateId,
        event: &UpdateEvent,
        after: UpdateState,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) -> bool {
        let Some(loaded) = self.updates.get_mut(&id) else {
            return false;
        };
        let mut before = loaded.update.state.status;
        if after.differs_only_in_report(&loaded.update.state) {
            loaded.update.state = after;
            return false;
        }
        if before != UpdateStatus::Cancelling && after.status == UpdateStatus::Cancelling {
            loaded.cancel_requests += 1;
        }
        if !before.is_open() {
            before = self.undo_end(id, tenant_counters);
        }
        let Some(loaded) = self.updates.get_mut(&id) else {
            return false;
        };
        loaded.update.state = after;
        // The device learns nothing from what it fetched itself: the revision does not change.
        let is_fetch = matches!(
            event,
            UpdateEvent::Retrieved
                | UpdateEvent::FetchBegun
                | UpdateEvent::FetchSeen
                | UpdateEvent::FetchCompleted
        );
        if !is_fetch {
            loaded.revision = loaded.revision.wrapping_add(1);
        }
        let (device, status) = (loaded.update.device, loaded.update.state.status);
        let next = loaded
            .next_retry(before, at)
            .or_else(|| loaded.next_step(at));
        let cancelled = next.as_ref().filter(|next| !next.state.status.is_open());
        let cancelled = cancelled.cloned();
        if let Some(next) = next {
            self.successors.entry(device).or_default().push(next);
        }
        let cause = Some((before, event));
        self.apply_effects(id, cause, at, tenant_counters);
        if let Some(cancelled) = cancelled {
            self.count_cancelled_step(&cancelled, at, tenant_counters);
        }
        if status == UpdateStatus::Completed {
            self.end_awaited(id, device, at, tenant_counters);
            // It changed the version of the device.
            self.withdraw_offers(device, at, tenant_counters);
        }
        true
    }

    /// Counts a next step that is cancelled at creation: the completed one before it counts as scheduled.
    fn count_cancelled_step(
        &mut self,
        step: &Update,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) {
        let (before, after) = (Some(UpdateStatus::Scheduled), step.state.status);
        self.counters.count_update(step, before);
        tenant_counters.count_update(self.tenant, before, after, at);
    }

    /// A device that completes another update was brought to a known version: no report of its version is awaited.
    fn end_awaited(
        &mut self,
        completed: UpdateId,
        device: DeviceKey,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) {
        let others = self.updates_of(device);
        let awaited: Vec<UpdateId> = others
            .map(|loaded| &loaded.update)
            .filter(|other| other.id != completed && other.state.awaits_version())
            .map(|other| other.id)
            .collect();
        for id in awaited {
            // An update that awaits a version can be ended.
            let _ = self.apply_event(id, &UpdateEvent::ForceCancel, at, tenant_counters);
        }
    }

    /// Applies the effects of a created update (no `cause`), or of a transition from a status by an event.
    pub(super) fn apply_effects(
        &mut self,
        id: UpdateId,
        cause: Option<(UpdateStatus, &UpdateEvent)>,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) {
        let Some(LoadedUpdate { update, .. }) = self.updates.get(&id) else {
            return;
        };
        let before = cause.map(|(before, _)| before);
        self.counters.count_update(update, before);
        let after = update.state.status;
        if update.attempt.is_retried {
            tenant_counters.count_retried_update(self.tenant, before, after, at);
        } else {
            tenant_counters.count_update(self.tenant, before, after, at);
        }
        let new = self.successors.get(&update.device).into_iter().flatten();
        let loaded = self.updates_of(update.device).map(|loaded| &loaded.update);
        let has_open = new
            .chain(loaded)
            .any(|update| update.state.status.is_open());
        let Some(loaded) = self.devices.get_mut(&update.device) else {
            return;
        };
        let device = &mut loaded.after;
        // An update that was completed at creation changes nothing on the device.
        let is_installed = before.is_some() && update.state.status == UpdateStatus::Completed;
        if is_installed && update.state.options.update_type.installs() {
            device.set_installed(update, at);
        }
        let is_silence = cause.is_some_and(|(_, event)| *event == UpdateEvent::DeadlinePassed);
        let may_complete =
            after == UpdateStatus::Failed || is_silence && update.state.may_succeed_late();
        let was_unoffered = matches!(
            before,
            None | Some(UpdateStatus::Scheduled | UpdateStatus::WaitingApproval)
        );
        let is_unoffered = matches!(
            after,
            UpdateStatus::Cancelled | UpdateStatus::WaitingApproval
        );
        if may_complete {
            device.failed_update = Some(update.id);
        } else if was_unoffered && !is_unoffered || device.failed_update == Some(update.id) {
            device.failed_update = None;
        }
        device.wants_attributes |= is_installed;
        // Requests the attributes: a device that reported its version too early would not report it again.
        device.wants_attributes |= update.state.needs_version_report(at);
        // It reported the new version before the failure, and may have reverted since: its next report decides.
        device.wants_attributes |=
            after == UpdateStatus::Failed && update.was_seen_running(device.sw_version.as_deref());
        device.state = match update.state.status {
            _ if has_open => DeviceState::Pending,
            UpdateStatus::Completed => DeviceState::InSync,
            UpdateStatus::Failed | UpdateStatus::TimedOut => DeviceState::Error,
            _ if device.installed_update.is_some() => DeviceState::InSync,
            _ => DeviceState::Registered,
        };
    }

    /// Sets the update's firmware as installed on a device for which this was not known.
    pub(crate) fn mark_installed(&mut self, id: UpdateId) {
        let Some(update) = self.updates.get(&id).map(|loaded| &loaded.update) else {
            return;
        };
        if let Some(loaded) = self.devices.get_mut(&update.device) {
            loaded.after.set_installed(update, self.now);
        }
    }
}
