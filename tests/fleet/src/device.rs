//! A simulated device.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{RngExt as _, rngs::StdRng};
use tidegate_ddi_client::{
    ConfigData, Confirmation, DdiClient, DdiError, Execution, Feedback, Finished, Offer,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};

use crate::{AcknowledgedFeedback, DeviceRecord, Pace, Profiles, profile::DeviceBehavior};

/// Number of progress reports of an installation.
const PROGRESS_STEPS: u32 = 3;
/// Factor by which a slow installation takes longer.
const SLOW_FACTOR: u32 = 10;

/// A device that runs until it is dropped.
pub(crate) struct Device {
    pub(crate) ddi: DdiClient,
    pub(crate) seed: u64,
    pub(crate) pace: Pace,
    pub(crate) profiles: Arc<Profiles>,
    /// Whether automatic confirmation must still be activated.
    pub(crate) auto_confirm: bool,
    /// Attributes in addition to the version.
    pub(crate) attributes: BTreeMap<String, String>,
    /// Random numbers for the time of polls; not for the device's behavior.
    pub(crate) jitter: StdRng,
    pub(crate) record: Arc<Mutex<DeviceRecord>>,
    /// Limits the connections of the whole fleet.
    pub(crate) connection_permits: Arc<Semaphore>,
    pub(crate) record_changed: Arc<Notify>,
}

/// How an update ended for the device.
enum UpdateEnd {
    Installed(String),
    Failed,
    Cancelled,
    /// The device stopped communicating.
    Disconnected,
    /// The server no longer accepts feedback on the update.
    Gone,
}

impl Device {
    /// Polls and installs updates until it is dropped or stops communicating.
    pub(crate) async fn run(mut self) {
        sleep(self.pause(Duration::ZERO)).await;
        let mut restarted = true;
        loop {
            match self.poll_once(&mut restarted).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => self.update_record(|record| {
                    record.errors += 1;
                    record.last_error = Some(error.to_string());
                }),
            }
            let pause = self.pause(self.pace.poll.0);
            sleep(pause).await;
        }
    }

    /// One poll and the actions that follow from it. Returns false if the device has stopped communicating.
    async fn poll_once(&mut self, restarted: &mut bool) -> Result<bool, DdiError> {
        let poll = self.with_permit(self.ddi.poll()).await?;
        self.update_record(|record| record.polls += 1);
        if self.auto_confirm {
            self.with_permit(self.ddi.activate_auto_confirm("fleet", None))
                .await?;
            self.auto_confirm = false;
        }
        if *restarted || poll.config_data().is_some() {
            self.report_attributes().await?;
            *restarted = false;
        }
        if let Some(href) = poll.cancel_action() {
            // The device is not installing, so there is nothing to stop.
            let update = self.with_permit(self.ddi.cancel(href)).await?;
            self.confirm_cancel(&update).await?;
            return Ok(true);
        }
        if let Some(href) = poll.confirmation_base() {
            self.confirm(href).await?;
            return Ok(true);
        }
        let Some(href) = poll.deployment_base() else {
            return Ok(true);
        };
        let offer = self.with_permit(self.ddi.offer(href)).await?;
        self.update_record(|record| {
            record.offered.insert(offer.version().to_owned());
            record.working_on = Some(offer.id.clone());
        });
        let end = self.process_update(&offer).await;
        self.update_record(|record| record.working_on = None);
        match end? {
            UpdateEnd::Installed(version) => {
                self.update_record(|record| {
                    record.succeeded += 1;
                    record.version = version;
                });
                *restarted = true;
                // The device does not communicate during the restart.
                sleep(self.pace.step).await;
            }
            UpdateEnd::Failed => self.update_record(|record| record.failed += 1),
            UpdateEnd::Cancelled => self.update_record(|record| record.cancelled += 1),
            UpdateEnd::Gone => {}
            UpdateEnd::Disconnected => {
                self.update_record(|record| record.silent = true);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The device's user reads the update and confirms or denies it.
    async fn confirm(&self, href: &str) -> Result<(), DdiError> {
        let offer = self.with_permit(self.ddi.offer(href)).await?;
        let agrees = !self.behavior(&offer).denies;
        let why = if agrees { "go on" } else { "not this one" };
        let mut answer = Confirmation::new(agrees);
        answer.details = vec![why.to_owned()];
        self.with_permit(self.ddi.confirm(&offer.id, &answer))
            .await?;
        self.update_record(|record| {
            record.confirmed += u32::from(agrees);
            record.denied += u32::from(!agrees);
        });
        Ok(())
    }

    fn behavior(&self, offer: &Offer) -> DeviceBehavior {
        let device_id = self.read_record(|record| record.device_id.clone());
        self.profiles
            .behavior(self.seed, &device_id, offer.version())
    }

    async fn process_update(&self, offer: &Offer) -> Result<UpdateEnd, DdiError> {
        match self.install(offer, self.behavior(offer)).await {
            Err(error) if error.is_gone() => Ok(UpdateEnd::Gone),
            end => end,
        }
    }

    async fn install(
        &self,
        offer: &Offer,
        behavior: DeviceBehavior,
    ) -> Result<UpdateEnd, DdiError> {
        let update = offer.id.as_str();
        self.send_feedback(update, Feedback::new(Execution::Download, Finished::None))
            .await?;
        for artifact in offer.artifacts() {
            let mut download = self.ddi.download(artifact);
            match self.with_permit(download.discard_rest()).await {
                Ok(()) => {}
                Err(error @ DdiError::Corrupt { .. }) => {
                    self.update_record(|record| record.corrupt += 1);
                    return self
                        .fail(update, format!("CHECKSUM_MISMATCH: {error}"))
                        .await;
                }
                Err(error) => return Err(error),
            }
        }
        self.send_feedback(update, Feedback::new(Execution::Downloaded, Finished::None))
            .await?;

        let step = if behavior.slow {
            self.pace.step * SLOW_FACTOR
        } else {
            self.pace.step
        };
        for done in 1..=PROGRESS_STEPS {
            sleep(step).await;
            if let Some(end) = self.check_cancellation(update, behavior).await? {
                return Ok(end);
            }
            if behavior.silent && done == PROGRESS_STEPS {
                return Ok(UpdateEnd::Disconnected);
            }
            let mut feedback = Feedback::new(Execution::Proceeding, Finished::None);
            feedback.progress = Some((done, PROGRESS_STEPS));
            feedback.messages = vec![format!(
                "wrote part {done} of {PROGRESS_STEPS} to the other slot"
            )];
            self.send_feedback(update, feedback).await?;
        }
        if behavior.fails {
            let why = "HEALTH_CHECK_FAILED: the new slot did not come up, back on the old one";
            return self.fail(update, why.to_owned()).await;
        }
        let mut feedback = Feedback::new(Execution::Closed, Finished::Success);
        feedback.messages = vec!["installed".to_owned()];
        self.send_feedback(update, feedback).await?;
        Ok(UpdateEnd::Installed(offer.version().to_owned()))
    }

    async fn fail(&self, update: &str, why: String) -> Result<UpdateEnd, DdiError> {
        let mut feedback = Feedback::new(Execution::Closed, Finished::Failure);
        feedback.messages = vec![why];
        self.send_feedback(update, feedback).await?;
        Ok(UpdateEnd::Failed)
    }

    /// Checks whether the update is being cancelled, and if so confirms or rejects that.
    async fn check_cancellation(
        &self,
        update: &str,
        behavior: DeviceBehavior,
    ) -> Result<Option<UpdateEnd>, DdiError> {
        let poll = self.with_permit(self.ddi.poll()).await?;
        self.update_record(|record| record.polls += 1);
        let Some(href) = poll.cancel_action() else {
            return Ok(None);
        };
        if self.with_permit(self.ddi.cancel(href)).await? != update {
            return Ok(None);
        }
        if behavior.rejects_cancel {
            let mut feedback = Feedback::new(Execution::Rejected, Finished::None);
            feedback.messages = vec!["too far along to stop".to_owned()];
            self.with_permit(self.ddi.cancel_feedback(update, &feedback))
                .await?;
            return Ok(None);
        }
        self.confirm_cancel(update).await?;
        Ok(Some(UpdateEnd::Cancelled))
    }

    async fn confirm_cancel(&self, update: &str) -> Result<(), DdiError> {
        let feedback = Feedback::new(Execution::Closed, Finished::Success);
        self.with_permit(self.ddi.cancel_feedback(update, &feedback))
            .await
    }

    async fn report_attributes(&self) -> Result<(), DdiError> {
        let mut data = self.attributes.clone();
        data.insert(
            "sw_version".to_owned(),
            self.read_record(|record| record.version.clone()),
        );
        self.with_permit(self.ddi.config_data(&ConfigData::merge(data)))
            .await
    }

    /// Repeats the feedback until the server acknowledges or rejects it: devices do not drop feedback.
    async fn send_feedback(&self, update: &str, feedback: Feedback) -> Result<(), DdiError> {
        loop {
            match self.with_permit(self.ddi.feedback(update, &feedback)).await {
                Ok(()) => break,
                Err(error)
                    if error
                        .status()
                        .is_some_and(|status| status.is_client_error()) =>
                {
                    return Err(error);
                }
                Err(error) => self.update_record(|record| {
                    record.errors += 1;
                    record.last_error = Some(error.to_string());
                }),
            }
            sleep(self.pace.poll.0).await;
        }
        let acknowledged = AcknowledgedFeedback {
            update: update.to_owned(),
            execution: feedback.execution,
            finished: feedback.finished,
        };
        self.update_record(|record| record.acknowledged.push(acknowledged));
        Ok(())
    }

    /// Runs a request as soon as a connection is free.
    async fn with_permit<T>(&self, request: impl Future<Output = T>) -> T {
        // The semaphore is never closed.
        let _permit = self.connection_permits.acquire().await;
        request.await
    }

    fn pause(&mut self, least: Duration) -> Duration {
        self.jitter
            .random_range(least..=self.pace.poll.1.max(least))
    }

    fn update_record(&self, change: impl FnOnce(&mut DeviceRecord)) {
        change(&mut self.record.lock());
        self.record_changed.notify_waiters();
    }

    fn read_record<T>(&self, read: impl FnOnce(&DeviceRecord) -> T) -> T {
        read(&self.record.lock())
    }
}
