//! Updates: one firmware for one device, and the steps it may take.

mod consent;
mod deadline;
mod proof;
mod status;
mod terms;
#[cfg(test)]
mod tests;
mod tries;
mod window;

pub use consent::DENIED;
pub use proof::{MAX_SOAK, Proof};
pub use status::UpdateStatus;
pub use terms::{Confirmation, Handling, OnDenied, Terms, Timeouts, UpdateType};
pub use tries::{Due, MAX_RETRIES, MAX_RETRY_DELAY, Retries, Try, due};

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
    pub progress: Progress,
    /// The device's version when the update was made.
    pub from_version: Option<String>,
    /// The firmware's version.
    pub to_version: String,
    /// The device's firmware when the update was made.
    pub from_firmware: Option<FirmwareId>,
    /// When it was made, and, unless it is a retry, offered.
    pub created_at: Timestamp,
    /// Which try it is.
    pub attempt: Try,
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
    Return,
}

/// The part of an update that its steps change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Where it is.
    pub status: UpdateStatus,
    /// What it needs to count as done.
    pub proof: Proof,
    /// How it is put to the device.
    pub terms: Terms,
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
    pub went_over: bool,
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
pub enum Event {
    /// The device fetched its description.
    Retrieved,
    /// The device reported.
    Feedback(Feedback),
    /// An operator, a campaign or a policy calls it back.
    CancelRequested,
    /// An operator waits no longer for what the device makes of a call back, or of what it has yet to prove.
    Quit,
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
pub enum Refusal {
    /// The update has come to its end.
    #[error("the update is closed")]
    Closed,
    /// Nobody called it back.
    #[error("the update is not being cancelled")]
    NotCancelling,
    /// Somebody has to agree first.
    #[error("the update waits for its confirmation")]
    Unconfirmed,
    /// Nobody is asked to agree.
    #[error("the update does not wait for a confirmation")]
    NotWaiting,
}

impl Progress {
    /// An update that has just been made: on offer, or waiting for somebody to agree.
    pub fn offered(proof: Proof, terms: Terms, now: Timestamp) -> Self {
        let mut offered = Self {
            status: terms.first_status(),
            proof,
            terms,
            progress: None,
            phase: None,
            code: None,
            started_at: None,
            completed_at: None,
            timeout_at: now,
            ends_at: now,
            soaks_until: None,
            error: None,
            went_over: false,
        };
        offered.begin_phase(now);
        offered
    }

    /// What the event makes of it; an event that changes nothing gives it back as it was.
    pub fn after(self, event: &Event, now: Timestamp) -> Result<Self, Refusal> {
        let before = self.status;
        let mut after = match event {
            Event::Retrieved => self.taken_up(UpdateStatus::Downloading, now),
            Event::Feedback(feedback) => {
                let heard = self.heard(feedback, now);
                self.reported(&heard, now)?.noting(&heard)
            }
            Event::CancelRequested => self.called_back(now)?,
            Event::Quit => self.quit(now)?,
            Event::CancelFeedback(feedback) => {
                self.cancel_answered(feedback, now)?.noting(feedback)
            }
            Event::ConfirmationFeedback(answer) => self.answered(answer, now)?.noting(answer),
            Event::Declined(answer) => self.declined(answer, now)?.noting(answer),
            Event::AutoConfirmed => self.confirmed(),
            Event::VersionReported { is_target } => self.version_seen(*is_target, now),
            Event::DeadlinePassed => self.overdue(now),
            Event::DeviceGone if self.status.is_open() => self.ended(UpdateStatus::Cancelled, now),
            Event::DeviceGone => self,
        };
        if after.status != before && after.status.is_open() {
            after.begin_phase(now);
        }
        Ok(after)
    }

    /// Whether it stands as the other does, whatever its device says of itself meanwhile.
    pub fn stands_as(&self, other: &Self) -> bool {
        let (phase, code) = (other.phase, other.code);
        let without_words = Self {
            phase,
            code,
            ..self.clone()
        };
        without_words == *other
    }

    fn noting(mut self, said: &Feedback) -> Self {
        self.phase = Some(said.execution);
        self.code = said.code.or(self.code);
        self
    }

    fn taken_up(mut self, at_least: UpdateStatus, now: Timestamp) -> Self {
        let moves_on = match self.status {
            UpdateStatus::Offered => true,
            UpdateStatus::Downloading => at_least == UpdateStatus::Installing,
            _ => false,
        };
        if moves_on {
            self.status = at_least;
            self.started_at.get_or_insert(now);
        }
        self
    }

    fn reported(mut self, feedback: &Feedback, now: Timestamp) -> Result<Self, Refusal> {
        if self.status == UpdateStatus::WaitingConfirmation {
            return Err(Refusal::Unconfirmed);
        }
        let is_failure =
            (feedback.execution, feedback.finished) == (Execution::Closed, Finished::Failure);
        if self.status == UpdateStatus::Verifying && is_failure {
            // What was said to be done has turned out to be bad.
            return Ok(self.failed(feedback, now));
        }
        if !self.status.is_offered_to_device() {
            return Err(Refusal::Closed);
        }
        self.progress = feedback.progress.or(self.progress);
        Ok(match (feedback.execution, feedback.finished) {
            // Even while it is being called back: what is done is done.
            (Execution::Closed, Finished::Failure) => self.failed(feedback, now),
            (Execution::Closed, _) => self.done(now),
            // All that it was asked for.
            (Execution::Downloaded, _) if !self.terms.update_type.installs() => self.done(now),
            (Execution::Downloaded | Execution::Proceeding, _) => {
                self.taken_up(UpdateStatus::Installing, now)
            }
            (Execution::Download | Execution::Scheduled | Execution::Resumed, _) => {
                self.taken_up(UpdateStatus::Downloading, now)
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

    fn done(mut self, now: Timestamp) -> Self {
        self.started_at.get_or_insert(now);
        self.went_over |= self.terms.update_type.installs();
        match self.proof {
            // What is not installed has no version to report.
            _ if !self.terms.update_type.installs() => self.ended(UpdateStatus::Completed, now),
            Proof::Reported => self.ended(UpdateStatus::Completed, now),
            Proof::Attested | Proof::Soaked(_) => {
                self.status = UpdateStatus::Verifying;
                self
            }
        }
    }

    fn failed(mut self, feedback: &Feedback, now: Timestamp) -> Self {
        let message = feedback
            .messages
            .last()
            .cloned()
            .unwrap_or_else(|| "the device gave no reason".to_owned());
        self.error = Some(UpdateError {
            code: feedback.error_code(),
            message,
        });
        self.ended(UpdateStatus::Failed, now)
    }

    fn called_back(mut self, now: Timestamp) -> Result<Self, Refusal> {
        match self.status {
            // The device never began, so there is nothing that it could agree to stop. One that began before somebody
            // took the consent back may be at it still, and is asked.
            UpdateStatus::Scheduled => Ok(self.ended(UpdateStatus::Cancelled, now)),
            UpdateStatus::WaitingConfirmation if self.started_at.is_none() => {
                Ok(self.ended(UpdateStatus::Cancelled, now))
            }
            UpdateStatus::WaitingConfirmation => {
                self.status = UpdateStatus::Cancelling;
                self.ends_at = now.plus(self.terms.timeouts.update);
                Ok(self)
            }
            UpdateStatus::Offered | UpdateStatus::Downloading | UpdateStatus::Installing => {
                self.status = UpdateStatus::Cancelling;
                Ok(self)
            }
            // Nobody needs to wait for what it would have proved: it is on the new version, and a rollback that looks at
            // it then brings it back.
            UpdateStatus::Verifying if self.soaks_until.is_some() => {
                Ok(self.ended(UpdateStatus::Cancelled, now))
            }
            // The device has nothing left to call back, and is probably on the new version: it stays open until it
            // says so or falls silent, so that a rollback that looks at it then brings it back.
            UpdateStatus::Cancelling | UpdateStatus::Verifying => Ok(self),
            _ => Err(Refusal::Closed),
        }
    }

    fn quit(self, now: Timestamp) -> Result<Self, Refusal> {
        match self.status {
            UpdateStatus::Cancelling | UpdateStatus::Verifying => {
                Ok(self.ended(UpdateStatus::Cancelled, now))
            }
            status if status.is_open() => Err(Refusal::NotCancelling),
            _ => Err(Refusal::Closed),
        }
    }

    fn cancel_answered(mut self, feedback: &Feedback, now: Timestamp) -> Result<Self, Refusal> {
        match self.status {
            UpdateStatus::Cancelling => {}
            UpdateStatus::Cancelled => return Err(Refusal::Closed),
            _ => return Err(Refusal::NotCancelling),
        }
        Ok(match (feedback.execution, feedback.finished) {
            (Execution::Closed, Finished::Failure) | (Execution::Rejected, _) => {
                self.status = UpdateStatus::Installing;
                self.started_at.get_or_insert(now);
                self
            }
            (Execution::Closed | Execution::Canceled, _) => {
                self.ended(UpdateStatus::Cancelled, now)
            }
            _ => self,
        })
    }

    fn ended(mut self, status: UpdateStatus, now: Timestamp) -> Self {
        self.status = status;
        self.completed_at = Some(now);
        self
    }
}
