//! Updates: one firmware for one device, and their state machine.

mod approval;
mod awaited_version;
mod compatibility;
mod confirmation;
mod deadline;
mod fetch_failure;
mod file_fetch;
mod late_success;
mod options;
mod refusal;
mod retry;
mod retry_policy;
mod status;
mod success_criteria;
#[cfg(test)]
mod tests;
mod upgrade_path;
mod upgrade_step;
mod waiting;
mod window;

pub use approval::NOT_APPROVED;
pub use compatibility::{ChosenPolicy, CompatibilityBasis, INCOMPATIBLE, UpdatePolicies};
pub use confirmation::DENIED;
pub use fetch_failure::FetchFailure;
pub use file_fetch::FileFetch;
pub use options::{
    Confirmation, HandlingType, OnDenied, Timeouts, UpdateOptions, UpdateType, UpdateTypeName,
};
pub use refusal::{DeviceRefusal, Refusal};
pub use retry::Attempt;
pub use retry_policy::{MAX_RETRIES, MAX_RETRY_DELAY, RetryPolicy};
pub use status::UpdateStatus;
pub use success_criteria::{MAX_SOAK, SuccessCriteria, SuccessCriteriaName};
pub use upgrade_path::{
    IntermediateFirmware, MAX_INTERMEDIATE_VERSIONS, NO_UPGRADE_PATH, UpgradePath,
};

use strum::{EnumDiscriminants, EnumString, IntoStaticStr};

use crate::{
    feedback::{Execution, Feedback, Finished},
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
};

/// An update of one device to one firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Id; DDI's action id.
    pub id: UpdateId,
    /// Owner.
    pub tenant: TenantId,
    /// Device to update.
    pub device: DeviceKey,
    /// Firmware to install.
    pub firmware: FirmwareId,
    /// Campaign and purpose; `None` for a single update.
    pub campaign: Option<(CampaignId, Purpose)>,
    /// Weight: a device is offered its heaviest open update first, then the oldest.
    pub weight: i32,
    /// Current state.
    pub state: UpdateState,
    /// Version of the device at creation.
    pub from_version: Option<String>,
    /// Version of the firmware.
    pub to_version: String,
    /// Firmware of the device at creation.
    pub from_firmware: Option<FirmwareId>,
    /// Time of creation. Unless the update is a retry, also the time of the offer.
    pub created_at: Timestamp,
    /// Position in a chain of retries, of this firmware.
    pub attempt: Attempt,
    /// What its compatibility with the device is based on; `None`: no policy decides on it.
    pub compatibility: Option<CompatibilityBasis>,
}

/// Role of an update in its campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, EnumDiscriminants)]
#[strum_discriminants(
    name(PurposeName),
    doc = "Name of a purpose.",
    derive(IntoStaticStr, EnumString),
    strum(serialize_all = "snake_case")
)]
pub enum Purpose {
    /// Created when a wave released the device.
    Forward {
        /// Index of the wave.
        wave: u32,
    },
    /// Created by the campaign's rollback to restore the previous firmware.
    Rollback,
}

/// State of an update: the part that events change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateState {
    /// Status.
    pub status: UpdateStatus,
    /// What completes the update.
    pub success_criteria: SuccessCriteria,
    /// Options of the update.
    pub options: UpdateOptions,
    /// Progress as (n, m) of "n of m", as last reported.
    pub progress: Option<(u32, u32)>,
    /// Last reported execution, for operators; does not affect the state machine.
    pub phase: Option<Execution>,
    /// True if the device acknowledged a cancellation after it may have installed the firmware.
    pub cancel_acknowledged: bool,
    /// How far the device has fetched the files; `None`: not that the server saw.
    pub fetch: Option<FileFetch>,
    /// Last reported status code, for operators.
    pub code: Option<i32>,
    /// How far the device is with refusing it.
    pub refusal: Option<Refusal>,
    /// The last time that the device could not fetch a file, because the server could not read it.
    pub fetch_failure: Option<FetchFailure>,
    /// When the device first started it.
    pub started_at: Option<Timestamp>,
    /// When it reached a final status.
    pub completed_at: Option<Timestamp>,
    /// Next deadline: the end of the current phase, at most [`Self::ends_at`].
    pub timeout_at: Timestamp,
    /// Deadline of the whole update; while it waits for confirmation, the deadline of the confirmation.
    pub ends_at: Timestamp,
    /// End of the soak time; set when the device first reports the new version.
    pub soaks_until: Option<Timestamp>,
    /// Since when its clock stands still, because the device is shown another update. The deadlines are those of then.
    pub waits_since: Option<Timestamp>,
    /// Error of an update that did not succeed.
    pub error: Option<UpdateError>,
    /// The error with which it had ended, before its device succeeded after all. None if it does not succeed.
    pub earlier_error: Option<UpdateError>,
    /// True if the device reported the installation in this or an earlier attempt, so that it may run the firmware.
    pub installed_reported: bool,
}

/// Error of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateError {
    /// Stable, machine-readable code.
    pub code: String,
    /// Message for operators.
    pub message: String,
}

/// An event that an update handles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateEvent {
    /// The device fetched the deployment.
    Retrieved,
    /// The device began to fetch a file.
    FetchBegun,
    /// A server that did not record when the device began to fetch a file now does. Another server may have seen more.
    FetchSeen,
    /// The device has fetched the files whole, and fetches none.
    FetchCompleted,
    /// The device could not fetch a file, because the server could not read it.
    FetchFailed {
        /// The file, and why it could not be read.
        reason: String,
    },
    /// The device sent feedback.
    Feedback(Feedback),
    /// The device reported success after the update ended by its silence, and before it was offered a later update.
    LateSuccess(Feedback),
    /// An operator, a campaign or a policy cancels the update.
    CancelRequested,
    /// An operator ends a cancelling or verifying update without waiting for the device.
    ForceCancel,
    /// The device answered the cancellation.
    CancelFeedback(Feedback),
    /// The confirmation was given, denied or revoked at the device.
    ConfirmationFeedback(Feedback),
    /// The device denied the update although auto-confirm is active.
    Declined(Feedback),
    /// Auto-confirm was activated for the device.
    AutoConfirmed,
    /// The device reported its version.
    VersionReported {
        /// True if it is the version of the update's firmware.
        is_target: bool,
    },
    /// The device is of another class than the one for which compatibility was checked.
    ClassChanged,
    /// A policy rejected the device for this reason when it was checked again.
    Incompatible(String),
    /// Policies need an intermediate version again, or too many of them, for this reason.
    NoUpgradePath(String),
    /// Another user than its creator approved it.
    Approved,
    /// Another user than its creator refused to approve it, for this reason.
    ApprovalRejected(String),
    /// [`UpdateState::timeout_at`] may have passed.
    DeadlinePassed,
    /// The device was deleted.
    DeviceGone,
}

/// Why an event is rejected. DDI maps each to an HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The update has a final status.
    #[error("the update is closed")]
    Closed,
    /// The update is not in status `cancelling`.
    #[error("the update is not being cancelled")]
    NotCancelling,
    /// The update waits for confirmation.
    #[error("the update is waiting for confirmation")]
    ConfirmationPending,
    /// The update does not wait for confirmation.
    #[error("the update is not waiting for confirmation")]
    NotWaitingConfirmation,
}

impl UpdateState {
    /// The state of a new update: offered, or waiting for confirmation.
    pub fn offered(
        success_criteria: SuccessCriteria,
        options: UpdateOptions,
        now: Timestamp,
    ) -> Self {
        let mut offered = Self {
            status: options.first_status(),
            success_criteria,
            options,
            progress: None,
            phase: None,
            cancel_acknowledged: false,
            fetch: None,
            code: None,
            refusal: None,
            fetch_failure: None,
            started_at: None,
            completed_at: None,
            timeout_at: now,
            ends_at: now,
            soaks_until: None,
            waits_since: None,
            error: None,
            earlier_error: None,
            installed_reported: false,
        };
        offered.begin_phase(now);
        offered
    }

    /// The state after an event; an event without effect returns the state unchanged.
    pub fn after(self, event: &UpdateEvent, now: Timestamp) -> Result<Self, EventError> {
        let before = self.status;
        let mut after = match event {
            UpdateEvent::Retrieved => self.advance(UpdateStatus::Downloading, now).read_again(),
            UpdateEvent::FetchBegun => self.begin_fetch(now),
            UpdateEvent::FetchSeen => self.see_fetch(now),
            UpdateEvent::FetchCompleted => self.complete_fetch(now),
            UpdateEvent::FetchFailed { reason } => self.with_fetch_failure(reason, now),
            UpdateEvent::Feedback(feedback) => {
                let interpreted = self.interpret_feedback(feedback, now);
                self.apply_feedback(&interpreted, now)?
                    .with_last_report(&interpreted)
            }
            UpdateEvent::LateSuccess(feedback) => {
                let interpreted = self.interpret_feedback(feedback, now);
                self.apply_late_success(&interpreted, now)?
                    .with_last_report(&interpreted)
            }
            UpdateEvent::CancelRequested => self.request_cancel(now)?,
            UpdateEvent::ForceCancel => self.force_cancel(now)?,
            UpdateEvent::CancelFeedback(feedback) => self
                .apply_cancel_feedback(feedback, now)?
                .with_last_report(feedback),
            UpdateEvent::ConfirmationFeedback(answer) => self
                .apply_confirmation(answer, now)?
                .with_last_report(answer),
            UpdateEvent::Declined(answer) => self.decline(answer, now)?.with_last_report(answer),
            UpdateEvent::AutoConfirmed => self.confirm(),
            UpdateEvent::VersionReported { is_target } => {
                self.apply_version_report(*is_target, now)
            }
            UpdateEvent::ClassChanged => self.withdraw_offer(now),
            UpdateEvent::Incompatible(reason) => self.end_incompatible(reason, now),
            UpdateEvent::NoUpgradePath(reason) => self.end_without_path(reason, now)?,
            UpdateEvent::Approved => self.approve(),
            UpdateEvent::ApprovalRejected(reason) => self.end_unapproved(reason, now),
            UpdateEvent::DeadlinePassed => self.apply_deadline(now),
            UpdateEvent::DeviceGone if self.status.is_open() => {
                self.end(UpdateStatus::Cancelled, now)
            }
            UpdateEvent::DeviceGone => self,
        };
        if after.status != before && after.status.is_open() {
            after.begin_phase(now);
        }
        if !after.status.is_offered_to_device() {
            after.set_visible(false, now);
        }
        Ok(after)
    }

    /// True if the states differ at most in what the device last reported ([`Self::phase`], [`Self::code`],
    /// [`Self::refusal`]), fetched ([`Self::fetch`]) and could not fetch ([`Self::fetch_failure`]).
    pub fn differs_only_in_report(&self, other: &Self) -> bool {
        let (phase, code, fetch, refusal) = (other.phase, other.code, other.fetch, other.refusal);
        let with_other_report = Self {
            phase,
            fetch,
            code,
            refusal,
            fetch_failure: other.fetch_failure.clone(),
            ..self.clone()
        };
        with_other_report == *other
    }

    fn with_last_report(mut self, feedback: &Feedback) -> Self {
        self.phase = Some(feedback.execution);
        self.code = feedback.code.or(self.code);
        self
    }

    fn advance(mut self, at_least: UpdateStatus, now: Timestamp) -> Self {
        let advances = match self.status {
            UpdateStatus::Offered => true,
            UpdateStatus::Downloading => at_least == UpdateStatus::Installing,
            _ => false,
        };
        if advances {
            self.status = at_least;
            self.started_at.get_or_insert(now);
        }
        self
    }

    fn apply_feedback(mut self, feedback: &Feedback, now: Timestamp) -> Result<Self, EventError> {
        if self.status == UpdateStatus::WaitingConfirmation {
            return Err(EventError::ConfirmationPending);
        }
        if self.awaits_version() {
            return self.decide_by_feedback(feedback, now);
        }
        let is_failure =
            (feedback.execution, feedback.finished) == (Execution::Closed, Finished::Failure);
        if self.status == UpdateStatus::Verifying && is_failure {
            // The device reported success and then failure: the failure counts.
            return Ok(self.fail(feedback, now));
        }
        if !self.status.is_offered_to_device() {
            return Err(EventError::Closed);
        }
        self.progress = feedback.progress.or(self.progress);
        Ok(match (feedback.execution, feedback.finished) {
            // Also while the update is being cancelled: a finished installation cannot be cancelled.
            (Execution::Closed, Finished::Failure) => self.fail(feedback, now),
            (Execution::Closed, _) => self.apply_success(now),
            // A download-only update ends here.
            (Execution::Downloaded, _) if !self.options.update_type.installs() => {
                self.apply_success(now)
            }
            (Execution::Downloaded, _) => {
                self.fetch = Some(FileFetch::Complete);
                self.advance(UpdateStatus::Installing, now)
            }
            // Many devices report this before they download.
            (Execution::Proceeding, _) if self.fetch == Some(FileFetch::Begun) => {
                self.advance(UpdateStatus::Downloading, now)
            }
            (Execution::Proceeding, _) => self.advance(UpdateStatus::Installing, now),
            (Execution::Download | Execution::Scheduled | Execution::Resumed, _) => {
                self.advance(UpdateStatus::Downloading, now)
            }
            (Execution::Canceled | Execution::Rejected, _) => self.refuse(feedback, now),
            // Not execution states of a deployment; ignored.
            (Execution::Confirmed | Execution::Denied, _) => self,
        })
    }

    fn apply_success(mut self, now: Timestamp) -> Self {
        self.started_at.get_or_insert(now);
        self.installed_reported |= self.options.update_type.installs();
        match self.success_criteria {
            // A download-only update has no version to verify.
            _ if !self.options.update_type.installs() => self.end(UpdateStatus::Completed, now),
            SuccessCriteria::Reported => self.end(UpdateStatus::Completed, now),
            SuccessCriteria::Attested | SuccessCriteria::Soaked(_) => {
                self.status = UpdateStatus::Verifying;
                self
            }
        }
    }

    fn fail(mut self, feedback: &Feedback, now: Timestamp) -> Self {
        let message = feedback
            .messages
            .last()
            .cloned()
            .unwrap_or_else(|| "the device gave no reason".to_owned());
        self.error = Some(UpdateError {
            code: feedback.error_code(),
            message,
        });
        self.end(UpdateStatus::Failed, now)
    }

    fn request_cancel(mut self, now: Timestamp) -> Result<Self, EventError> {
        match self.status {
            // A device that never started has nothing to stop. One that started before the confirmation was revoked
            // may still be working, and is asked to cancel.
            UpdateStatus::Scheduled | UpdateStatus::WaitingApproval => {
                Ok(self.end(UpdateStatus::Cancelled, now))
            }
            UpdateStatus::WaitingConfirmation if self.started_at.is_none() => {
                Ok(self.end(UpdateStatus::Cancelled, now))
            }
            UpdateStatus::WaitingConfirmation => {
                self.status = UpdateStatus::Cancelling;
                self.ends_at = self.own_time(now).plus(self.options.timeouts.update);
                Ok(self)
            }
            UpdateStatus::Offered | UpdateStatus::Downloading | UpdateStatus::Installing => {
                self.status = UpdateStatus::Cancelling;
                Ok(self)
            }
            // The device runs the new version: the update ends, and a rollback then includes the device.
            UpdateStatus::Verifying if self.soaks_until.is_some() => {
                Ok(self.end(UpdateStatus::Cancelled, now))
            }
            // A cancellation that is already requested. A verifying device has nothing left to cancel and probably
            // runs the new version: the update stays open until the device reports it or times out, and a rollback
            // then includes it.
            UpdateStatus::Cancelling | UpdateStatus::Verifying => Ok(self),
            _ => Err(EventError::Closed),
        }
    }

    fn force_cancel(self, now: Timestamp) -> Result<Self, EventError> {
        match self.status {
            UpdateStatus::Cancelling | UpdateStatus::Verifying => {
                Ok(self.end(UpdateStatus::Cancelled, now))
            }
            status if status.is_open() => Err(EventError::NotCancelling),
            _ => Err(EventError::Closed),
        }
    }

    fn apply_cancel_feedback(
        mut self,
        feedback: &Feedback,
        now: Timestamp,
    ) -> Result<Self, EventError> {
        match self.status {
            UpdateStatus::Cancelling => {}
            UpdateStatus::Cancelled => return Err(EventError::Closed),
            _ if self.awaits_version() => return Err(EventError::Closed),
            _ => return Err(EventError::NotCancelling),
        }
        Ok(match (feedback.execution, feedback.finished) {
            (Execution::Closed, Finished::Failure) | (Execution::Rejected, _) => {
                self.status = UpdateStatus::Installing;
                self.started_at.get_or_insert(now);
                self
            }
            (Execution::Closed | Execution::Canceled, _) => self.acknowledge_cancel(now),
            _ => self,
        })
    }

    /// Withdraws an offer that the device has not begun, until policies have checked the device again. It is due at
    /// once.
    fn withdraw_offer(mut self, now: Timestamp) -> Self {
        if self.is_unbegun_offer() {
            self.status = UpdateStatus::Scheduled;
            self.ends_at = now;
            self.waits_since = None;
        }
        self
    }

    /// True if the device was offered the update and has not begun it.
    pub fn is_unbegun_offer(&self) -> bool {
        let is_offer = matches!(
            self.status,
            UpdateStatus::Offered | UpdateStatus::WaitingConfirmation
        );
        is_offer && self.started_at.is_none()
    }

    /// Ends an update that is not offered yet, because a policy rejected the device.
    fn end_incompatible(mut self, reason: &str, now: Timestamp) -> Self {
        if self.status != UpdateStatus::Scheduled {
            return self;
        }
        self.error = Some(UpdateError {
            code: INCOMPATIBLE.to_owned(),
            message: reason.to_owned(),
        });
        self.end(UpdateStatus::Cancelled, now)
    }

    fn end(mut self, status: UpdateStatus, now: Timestamp) -> Self {
        self.status = status;
        self.completed_at = Some(now);
        self.waits_since = None;
        if status != UpdateStatus::Completed {
            self.earlier_error = None;
        }
        self
    }
}
