//! Updates: one firmware for one device, and the steps it may take.

mod confirmation;
mod deadline;
mod options;
mod retry;
mod status;
mod success_criteria;
#[cfg(test)]
mod tests;
mod window;

pub use confirmation::DENIED;
pub use options::{Confirmation, HandlingType, OnDenied, Timeouts, UpdateOptions, UpdateType};
pub use retry::{Attempt, MAX_RETRIES, MAX_RETRY_DELAY, RetryAction, RetryPolicy, retry_action};
pub use status::UpdateStatus;
pub use success_criteria::{MAX_SOAK, SuccessCriteria};

use crate::{
    feedback::{Execution, Feedback, Finished},
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
};

/// One firmware for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// DDI's action id.
    pub id: UpdateId,
    /// Whose it is.
    pub tenant: TenantId,
    /// For whom.
    pub device: DeviceKey,
    /// What.
    pub firmware: FirmwareId,
    /// Its campaign, and what it is there for.
    pub campaign: Option<(CampaignId, Purpose)>,
    /// Which of several open updates the device is shown: the heaviest, then the oldest.
    pub weight: i32,
    /// How it stands.
    pub state: UpdateState,
    /// The device's version when the update was made.
    pub from_version: Option<String>,
    /// The firmware's version.
    pub to_version: String,
    /// The device's firmware when the update was made.
    pub from_firmware: Option<FirmwareId>,
    /// When it was made, and, unless it is a retry, offered.
    pub created_at: Timestamp,
    /// Which try it is.
    pub attempt: Attempt,
}

/// What an update is there for in its campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A wave of the campaign admitted the device.
    Forward {
        /// That wave.
        wave: u32,
    },
    /// The campaign was rolled back; this brings back what was there before.
    Rollback,
}

/// The part of an update that its steps change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateState {
    /// Where it is.
    pub status: UpdateStatus,
    /// What it needs to count as done.
    pub success_criteria: SuccessCriteria,
    /// How it is put to the device.
    pub options: UpdateOptions,
    /// "n of m", as the device last reported.
    pub progress: Option<(u32, u32)>,
    /// What the device last said of itself. For people: it decides nothing.
    pub phase: Option<Execution>,
    /// The last code that the device gave, likewise.
    pub code: Option<i32>,
    /// When the device first took it up.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub completed_at: Option<Timestamp>,
    /// When silence ends it: the end of the phase that it is in, at the latest its own.
    pub timeout_at: Timestamp,
    /// When its whole time is up; while somebody is asked, when the time for an answer is.
    pub ends_at: Timestamp,
    /// Until when its device has to stay well on the new version, once it has reported it.
    pub soaks_until: Option<Timestamp>,
    /// Why it failed.
    pub error: Option<UpdateError>,
    /// Whether its device said that it installed it, in this try or in one before: it may run it, proven or not.
    pub installed_reported: bool,
}

/// Why an update failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateError {
    /// Stable, for machines.
    pub code: String,
    /// For people.
    pub message: String,
}

/// Something that happens to an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateEvent {
    /// The device fetched its description.
    Retrieved,
    /// The device reported.
    Feedback(Feedback),
    /// An operator, a campaign or a policy calls it back.
    CancelRequested,
    /// An operator waits no longer for what the device makes of a call back, or of what it has yet to prove.
    ForceCancel,
    /// The device answered a call back.
    CancelFeedback(Feedback),
    /// Somebody at the device answered whether it may begin, or go on.
    ConfirmationFeedback(Feedback),
    /// Somebody at the device said no to this one, although everything is agreed to beforehand.
    Declined(Feedback),
    /// Whoever speaks for the device agrees to everything.
    AutoConfirmed,
    /// The device reported its version.
    VersionReported {
        /// Whether it is the one that the update brings.
        is_target: bool,
    },
    /// Its time is up.
    DeadlinePassed,
    /// The device was deleted.
    DeviceGone,
}

/// Why an event is refused. The device API has a status for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The update has come to its end.
    #[error("the update is closed")]
    Closed,
    /// Nobody called it back.
    #[error("the update is not being cancelled")]
    NotCancelling,
    /// Somebody has to agree first.
    #[error("the update waits for its confirmation")]
    ConfirmationPending,
    /// Nobody is asked to agree.
    #[error("the update does not wait for a confirmation")]
    NotWaitingConfirmation,
}

impl UpdateState {
    /// An update that has just been made: on offer, or waiting for somebody to agree.
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
            code: None,
            started_at: None,
            completed_at: None,
            timeout_at: now,
            ends_at: now,
            soaks_until: None,
            error: None,
            installed_reported: false,
        };
        offered.begin_phase(now);
        offered
    }

    /// What the event makes of it; an event that changes nothing gives it back as it was.
    pub fn after(self, event: &UpdateEvent, now: Timestamp) -> Result<Self, EventError> {
        let before = self.status;
        let mut after = match event {
            UpdateEvent::Retrieved => self.advance(UpdateStatus::Downloading, now),
            UpdateEvent::Feedback(feedback) => {
                let interpreted = self.interpret_feedback(feedback, now);
                self.apply_feedback(&interpreted, now)?
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
            UpdateEvent::DeadlinePassed => self.apply_deadline(now),
            UpdateEvent::DeviceGone if self.status.is_open() => {
                self.end(UpdateStatus::Cancelled, now)
            }
            UpdateEvent::DeviceGone => self,
        };
        if after.status != before && after.status.is_open() {
            after.begin_phase(now);
        }
        Ok(after)
    }

    /// Whether it stands as the other does, whatever its device says of itself meanwhile.
    pub fn differs_only_in_report(&self, other: &Self) -> bool {
        let (phase, code) = (other.phase, other.code);
        let without_words = Self {
            phase,
            code,
            ..self.clone()
        };
        without_words == *other
    }

    fn with_last_report(mut self, said: &Feedback) -> Self {
        self.phase = Some(said.execution);
        self.code = said.code.or(self.code);
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
        let is_failure =
            (feedback.execution, feedback.finished) == (Execution::Closed, Finished::Failure);
        if self.status == UpdateStatus::Verifying && is_failure {
            // What was said to be done has turned out to be bad.
            return Ok(self.fail(feedback, now));
        }
        if !self.status.is_offered_to_device() {
            return Err(EventError::Closed);
        }
        self.progress = feedback.progress.or(self.progress);
        Ok(match (feedback.execution, feedback.finished) {
            // Even while it is being called back: what is done is done.
            (Execution::Closed, Finished::Failure) => self.fail(feedback, now),
            (Execution::Closed, _) => self.apply_success(now),
            // All that it was asked for.
            (Execution::Downloaded, _) if !self.options.update_type.installs() => {
                self.apply_success(now)
            }
            (Execution::Downloaded | Execution::Proceeding, _) => {
                self.advance(UpdateStatus::Installing, now)
            }
            (Execution::Download | Execution::Scheduled | Execution::Resumed, _) => {
                self.advance(UpdateStatus::Downloading, now)
            }
            // Answers to a question that was not asked here say nothing.
            (
                Execution::Canceled
                | Execution::Rejected
                | Execution::Confirmed
                | Execution::Denied,
                _,
            ) => self,
        })
    }

    fn apply_success(mut self, now: Timestamp) -> Self {
        self.started_at.get_or_insert(now);
        self.installed_reported |= self.options.update_type.installs();
        match self.success_criteria {
            // What is not installed has no version to report.
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
            // The device never began, so there is nothing that it could agree to stop. One that began before somebody
            // took the consent back may be at it still, and is asked.
            UpdateStatus::Scheduled => Ok(self.end(UpdateStatus::Cancelled, now)),
            UpdateStatus::WaitingConfirmation if self.started_at.is_none() => {
                Ok(self.end(UpdateStatus::Cancelled, now))
            }
            UpdateStatus::WaitingConfirmation => {
                self.status = UpdateStatus::Cancelling;
                self.ends_at = now.plus(self.options.timeouts.update);
                Ok(self)
            }
            UpdateStatus::Offered | UpdateStatus::Downloading | UpdateStatus::Installing => {
                self.status = UpdateStatus::Cancelling;
                Ok(self)
            }
            // Nobody needs to wait for what it would have proved: it is on the new version, and a rollback that looks at
            // it then brings it back.
            UpdateStatus::Verifying if self.soaks_until.is_some() => {
                Ok(self.end(UpdateStatus::Cancelled, now))
            }
            // The device has nothing left to call back, and is probably on the new version: it stays open until it
            // says so or falls silent, so that a rollback that looks at it then brings it back.
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
            _ => return Err(EventError::NotCancelling),
        }
        Ok(match (feedback.execution, feedback.finished) {
            (Execution::Closed, Finished::Failure) | (Execution::Rejected, _) => {
                self.status = UpdateStatus::Installing;
                self.started_at.get_or_insert(now);
                self
            }
            (Execution::Closed | Execution::Canceled, _) => self.end(UpdateStatus::Cancelled, now),
            _ => self,
        })
    }

    fn end(mut self, status: UpdateStatus, now: Timestamp) -> Self {
        self.status = status;
        self.completed_at = Some(now);
        self
    }
}
