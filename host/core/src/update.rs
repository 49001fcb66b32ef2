//! Updates: one firmware for one device, and the steps it may take.

use std::time::Duration;

use crate::{
    feedback::{Execution, Feedback, Finished},
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    time::Timestamp,
    wave::Bucket,
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
    /// When it was made, and offered.
    pub created_at: Timestamp,
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
    /// "n of m", as the device last reported.
    pub progress: Option<(u32, u32)>,
    /// When the device first took it up.
    pub started_at: Option<Timestamp>,
    /// When it came to its end.
    pub completed_at: Option<Timestamp>,
    /// When silence ends it.
    pub timeout_at: Timestamp,
    /// Why it failed.
    pub error: Option<UpdateError>,
}

/// Why an update failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateError {
    /// Stable, for machines.
    pub code: String,
    /// For people.
    pub message: String,
}

/// What an update needs to count as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The device says so.
    Reported,
    /// The device comes back and reports the new version.
    Attested,
}

impl Proof {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Reported => "reported",
            Self::Attested => "attested",
        }
    }

    /// The proof of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reported, Self::Attested]
            .into_iter()
            .find(|proof| proof.as_str() == text)
    }
}

/// Where an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpdateStatus {
    /// The device has not taken it up.
    Offered,
    /// Taken up.
    Downloading,
    /// Downloaded, or being installed.
    Installing,
    /// The device says it is done; the proof is outstanding.
    Verifying,
    /// Called back; the device has yet to agree.
    Cancelling,
    /// Done.
    Completed,
    /// The device said that it failed.
    Failed,
    /// The device was silent for too long.
    TimedOut,
    /// Called back in time.
    Cancelled,
}

impl UpdateStatus {
    const ALL: [Self; 9] = [
        Self::Offered,
        Self::Downloading,
        Self::Installing,
        Self::Verifying,
        Self::Cancelling,
        Self::Completed,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
    ];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Installing => "installing",
            Self::Verifying => "verifying",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
        }
    }

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Where its device is counted.
    pub fn bucket(self) -> Bucket {
        match self {
            Self::Offered => Bucket::Offered,
            Self::Downloading | Self::Installing | Self::Verifying | Self::Cancelling => {
                Bucket::InProgress
            }
            Self::Completed => Bucket::Completed,
            Self::Failed => Bucket::Failed,
            Self::TimedOut => Bucket::TimedOut,
            Self::Cancelled => Bucket::Cancelled,
        }
    }

    /// Whether it has yet to come to an end.
    pub fn is_open(self) -> bool {
        matches!(self.bucket(), Bucket::Offered | Bucket::InProgress)
    }

    /// Whether the device is still shown it: a device that waits to prove itself has nothing left to do.
    pub fn is_offered_to_device(self) -> bool {
        self.is_open() && self != Self::Verifying
    }
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
    /// The device answered a call back.
    CancelFeedback(Feedback),
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
}

impl Progress {
    /// An update that has just been offered.
    pub fn offered(proof: Proof, now: Timestamp, timeout: Duration) -> Self {
        Self {
            status: UpdateStatus::Offered,
            proof,
            progress: None,
            started_at: None,
            completed_at: None,
            timeout_at: now.plus(timeout),
            error: None,
        }
    }

    /// What the event makes of it; an event that changes nothing gives it back as it was.
    pub fn after(self, event: &Event, now: Timestamp) -> Result<Self, Refusal> {
        match event {
            Event::Retrieved => Ok(self.taken_up(UpdateStatus::Downloading, now)),
            Event::Feedback(feedback) => self.reported(feedback, now),
            Event::CancelRequested => self.called_back(),
            Event::CancelFeedback(feedback) => self.cancel_answered(feedback, now),
            Event::VersionReported { is_target } => Ok(self.version_seen(*is_target, now)),
            Event::DeadlinePassed => Ok(self.overdue(now)),
            Event::DeviceGone if self.status.is_open() => {
                Ok(self.ended(UpdateStatus::Cancelled, now))
            }
            Event::DeviceGone => Ok(self),
        }
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
        if !self.status.is_offered_to_device() {
            return Err(Refusal::Closed);
        }
        self.progress = feedback.progress.or(self.progress);
        Ok(match (feedback.execution, feedback.finished) {
            // Even while it is being called back: what is done is done.
            (Execution::Closed, Finished::Failure) => self.failed(feedback, now),
            (Execution::Closed, _) => self.done(now),
            (Execution::Downloaded | Execution::Proceeding, _) => {
                self.taken_up(UpdateStatus::Installing, now)
            }
            (Execution::Download | Execution::Scheduled | Execution::Resumed, _) => {
                self.taken_up(UpdateStatus::Downloading, now)
            }
            (Execution::Canceled | Execution::Rejected, _) => self,
        })
    }

    fn done(mut self, now: Timestamp) -> Self {
        self.started_at.get_or_insert(now);
        match self.proof {
            Proof::Reported => self.ended(UpdateStatus::Completed, now),
            Proof::Attested => {
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

    fn called_back(mut self) -> Result<Self, Refusal> {
        match self.status {
            UpdateStatus::Offered | UpdateStatus::Downloading | UpdateStatus::Installing => {
                self.status = UpdateStatus::Cancelling;
                Ok(self)
            }
            // The device has nothing left to call back, and is probably on the new version: it stays open until it
            // says so or falls silent, so that a rollback that looks at it then brings it back.
            UpdateStatus::Cancelling | UpdateStatus::Verifying => Ok(self),
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

    fn version_seen(self, is_target: bool, now: Timestamp) -> Self {
        if is_target && self.status == UpdateStatus::Verifying {
            return self.ended(UpdateStatus::Completed, now);
        }
        // Another version proves nothing yet: many devices report before they restart. The deadline decides.
        self
    }

    fn overdue(mut self, now: Timestamp) -> Self {
        if !self.status.is_open() || now < self.timeout_at {
            return self;
        }
        if self.status == UpdateStatus::Cancelling {
            return self.ended(UpdateStatus::Cancelled, now);
        }
        let message = match self.status {
            UpdateStatus::Offered => "the device never took up the update",
            UpdateStatus::Verifying => "the device never reported the new version",
            _ => "the device fell silent during the update",
        };
        self.error = Some(UpdateError {
            code: "TIMEOUT".to_owned(),
            message: message.to_owned(),
        });
        self.ended(UpdateStatus::TimedOut, now)
    }

    fn ended(mut self, status: UpdateStatus, now: Timestamp) -> Self {
        self.status = status;
        self.completed_at = Some(now);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000);

    fn update(status: UpdateStatus, proof: Proof) -> Progress {
        Progress {
            status,
            ..Progress::offered(proof, Timestamp(0), Duration::from_mins(1))
        }
    }

    fn feedback(execution: Execution, finished: Finished) -> Feedback {
        let messages = vec!["flash worn out".to_owned()];
        Feedback {
            device_time: None,
            execution,
            finished,
            progress: None,
            code: None,
            messages,
            cut: false,
        }
    }

    fn step(from: UpdateStatus, proof: Proof, event: &Event) -> Result<UpdateStatus, Refusal> {
        update(from, proof)
            .after(event, NOW)
            .map(|progress| progress.status)
    }

    #[test]
    fn feedback_moves_an_update_on() {
        use Execution as E;
        use Finished as F;
        use UpdateStatus as S;
        for (from, execution, finished, to) in [
            (S::Offered, E::Download, F::None, Ok(S::Downloading)),
            (S::Offered, E::Proceeding, F::None, Ok(S::Installing)),
            (S::Downloading, E::Downloaded, F::None, Ok(S::Installing)),
            (S::Installing, E::Download, F::None, Ok(S::Installing)),
            (S::Installing, E::Canceled, F::None, Ok(S::Installing)),
            (S::Installing, E::Rejected, F::None, Ok(S::Installing)),
            (S::Installing, E::Closed, F::Success, Ok(S::Completed)),
            (S::Installing, E::Closed, F::None, Ok(S::Completed)),
            (S::Offered, E::Closed, F::Failure, Ok(S::Failed)),
            (S::Cancelling, E::Proceeding, F::None, Ok(S::Cancelling)),
            (S::Cancelling, E::Closed, F::Success, Ok(S::Completed)),
            (S::Cancelling, E::Closed, F::Failure, Ok(S::Failed)),
            (S::Verifying, E::Closed, F::Success, Err(Refusal::Closed)),
            (S::Completed, E::Closed, F::Failure, Err(Refusal::Closed)),
            (S::Cancelled, E::Proceeding, F::None, Err(Refusal::Closed)),
        ] {
            let event = Event::Feedback(feedback(execution, finished));
            assert_eq!(
                step(from, Proof::Reported, &event),
                to,
                "{from:?} {execution:?} {finished:?}"
            );
        }
    }

    #[test]
    fn a_call_back_needs_the_device_to_agree() {
        use Execution as E;
        use Finished as F;
        use UpdateStatus as S;
        for (from, execution, finished, to) in [
            (S::Cancelling, E::Closed, F::Success, Ok(S::Cancelled)),
            (S::Cancelling, E::Closed, F::None, Ok(S::Cancelled)),
            (S::Cancelling, E::Canceled, F::None, Ok(S::Cancelled)),
            (S::Cancelling, E::Rejected, F::None, Ok(S::Installing)),
            (S::Cancelling, E::Closed, F::Failure, Ok(S::Installing)),
            (S::Cancelling, E::Proceeding, F::None, Ok(S::Cancelling)),
            (S::Cancelled, E::Rejected, F::None, Err(Refusal::Closed)),
            (
                S::Installing,
                E::Closed,
                F::Success,
                Err(Refusal::NotCancelling),
            ),
            (
                S::Completed,
                E::Closed,
                F::Success,
                Err(Refusal::NotCancelling),
            ),
        ] {
            let event = Event::CancelFeedback(feedback(execution, finished));
            assert_eq!(
                step(from, Proof::Reported, &event),
                to,
                "{from:?} {execution:?} {finished:?}"
            );
        }
    }

    #[test]
    fn proof_is_the_new_version_reported_after_the_end() {
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success));
        assert_eq!(
            step(UpdateStatus::Installing, Proof::Attested, &done),
            Ok(UpdateStatus::Verifying)
        );
        for (from, is_target, to) in [
            (UpdateStatus::Verifying, true, UpdateStatus::Completed),
            (UpdateStatus::Verifying, false, UpdateStatus::Verifying),
            (UpdateStatus::Installing, true, UpdateStatus::Installing),
        ] {
            assert_eq!(
                step(from, Proof::Attested, &Event::VersionReported { is_target }),
                Ok(to)
            );
        }
    }

    #[test]
    fn what_may_be_installed_is_not_called_back_but_waited_for() {
        for (from, to) in [
            (UpdateStatus::Offered, Ok(UpdateStatus::Cancelling)),
            (UpdateStatus::Installing, Ok(UpdateStatus::Cancelling)),
            (UpdateStatus::Cancelling, Ok(UpdateStatus::Cancelling)),
            (UpdateStatus::Verifying, Ok(UpdateStatus::Verifying)),
            (UpdateStatus::Completed, Err(Refusal::Closed)),
        ] {
            assert_eq!(step(from, Proof::Attested, &Event::CancelRequested), to);
        }
    }

    #[test]
    fn silence_ends_an_update_only_when_its_time_is_up() {
        let late = Timestamp(60_000);
        for (from, to) in [
            (UpdateStatus::Offered, UpdateStatus::TimedOut),
            (UpdateStatus::Verifying, UpdateStatus::TimedOut),
            (UpdateStatus::Cancelling, UpdateStatus::Cancelled),
            (UpdateStatus::Completed, UpdateStatus::Completed),
        ] {
            let progress = update(from, Proof::Reported);
            assert_eq!(
                progress.clone().after(&Event::DeadlinePassed, NOW),
                Ok(progress.clone())
            );
            assert_eq!(
                progress
                    .after(&Event::DeadlinePassed, late)
                    .map(|p| p.status),
                Ok(to)
            );
        }
    }

    #[test]
    fn a_failure_says_why() {
        let event = Event::Feedback(feedback(Execution::Closed, Finished::Failure));
        let failed = update(UpdateStatus::Installing, Proof::Reported)
            .after(&event, NOW)
            .expect("it may fail");
        let error = failed.error.expect("a failed update has an error");
        assert_eq!(
            (error.code.as_str(), error.message.as_str()),
            ("FAILED", "flash worn out")
        );
        assert_eq!(failed.completed_at, Some(NOW));
    }
}
