//! One device: what it does, in its order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, rngs::StdRng};
use tokio::{
    sync::{Notify, Semaphore},
    time::sleep,
};

use crate::{
    Acknowledged, Ddi, DdiError, Execution, Finished, Memory, Offer, Pace, Profiles, Report,
    profile::Fate,
};

/// Progress reports of an install.
const STEPS: u32 = 3;
/// How much longer a slow install takes.
const SLOW: u32 = 10;

/// A device that runs until it is dropped.
pub(crate) struct Device {
    pub(crate) ddi: Ddi,
    pub(crate) seed: u64,
    pub(crate) pace: Pace,
    pub(crate) profiles: Arc<Profiles>,
    /// Whether it is still to agree to everything beforehand.
    pub(crate) confirms_all: bool,
    /// What it reports beside its version.
    pub(crate) attributes: BTreeMap<String, String>,
    /// When it polls; never what it does.
    pub(crate) jitter: StdRng,
    pub(crate) memory: Arc<Mutex<Memory>>,
    /// Bounds the connections of the whole fleet.
    pub(crate) places: Arc<Semaphore>,
    pub(crate) changed: Arc<Notify>,
}

/// How an update ended for the device.
enum End {
    Installed(String),
    Failed,
    CalledBack,
    /// It drops off.
    Silent,
    /// The server does not want to hear of it any more.
    Over,
}

impl Device {
    /// Polls and does what it is told, until it is dropped or falls silent.
    pub(crate) async fn run(mut self) {
        sleep(self.pause(Duration::ZERO)).await;
        let mut restarted = true;
        loop {
            match self.turn(&mut restarted).await {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => self.remember(|memory| {
                    memory.errors += 1;
                    memory.last_error = Some(error.to_string());
                }),
            }
            let pause = self.pause(self.pace.poll.0);
            sleep(pause).await;
        }
    }

    /// One poll and what follows from it. False: the device has dropped off.
    async fn turn(&mut self, restarted: &mut bool) -> Result<bool, DdiError> {
        let poll = self.with_place(self.ddi.poll()).await?;
        self.remember(|memory| memory.polls += 1);
        if self.confirms_all {
            self.with_place(self.ddi.confirm_all("fleet")).await?;
            self.confirms_all = false;
        }
        if *restarted || poll.config_data().is_some() {
            self.report_itself().await?;
            *restarted = false;
        }
        if let Some(href) = poll.cancel_action() {
            // It is not working on it: there is nothing to stop.
            let update = self.with_place(self.ddi.cancel(href)).await?;
            self.agree_to_cancel(&update).await?;
            return Ok(true);
        }
        if let Some(href) = poll.confirmation_base() {
            self.decide(href).await?;
            return Ok(true);
        }
        let Some(href) = poll.deployment_base() else {
            return Ok(true);
        };
        let offer = self.with_place(self.ddi.offer(href)).await?;
        self.remember(|memory| {
            memory.offered.insert(offer.version().to_owned());
            memory.working_on = Some(offer.id.clone());
        });
        let end = self.work_on(&offer).await;
        self.remember(|memory| memory.working_on = None);
        match end? {
            End::Installed(version) => {
                self.remember(|memory| {
                    memory.succeeded += 1;
                    memory.version = version;
                });
                *restarted = true;
                // The restart itself: nobody answers meanwhile.
                sleep(self.pace.step).await;
            }
            End::Failed => self.remember(|memory| memory.failed += 1),
            End::CalledBack => self.remember(|memory| memory.called_back += 1),
            End::Over => {}
            End::Silent => {
                self.remember(|memory| memory.silent = true);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Its people read what is on offer, and say yes or no.
    async fn decide(&self, href: &str) -> Result<(), DdiError> {
        let offer = self.with_place(self.ddi.offer(href)).await?;
        let agrees = !self.fate(&offer).denies;
        let why = if agrees { "go on" } else { "not this one" };
        self.with_place(self.ddi.confirm(&offer.id, agrees, why))
            .await?;
        self.remember(|memory| {
            memory.confirmed += u32::from(agrees);
            memory.denied += u32::from(!agrees);
        });
        Ok(())
    }

    fn fate(&self, offer: &Offer) -> Fate {
        let device_id = self.recall(|memory| memory.device_id.clone());
        self.profiles.fate(self.seed, &device_id, offer.version())
    }

    async fn work_on(&self, offer: &Offer) -> Result<End, DdiError> {
        match self.install(offer, self.fate(offer)).await {
            Err(error) if error.is_over() => Ok(End::Over),
            end => end,
        }
    }

    async fn install(&self, offer: &Offer, fate: Fate) -> Result<End, DdiError> {
        let update = offer.id.as_str();
        self.report(update, Report::new(Execution::Download, Finished::None))
            .await?;
        for file in offer.files() {
            match self.with_place(self.ddi.download(file)).await {
                Ok(()) => {}
                Err(error @ DdiError::Corrupt { .. }) => {
                    self.remember(|memory| memory.corrupt += 1);
                    return self
                        .fail(update, format!("CHECKSUM_MISMATCH: {error}"))
                        .await;
                }
                Err(error) => return Err(error),
            }
        }
        self.report(update, Report::new(Execution::Downloaded, Finished::None))
            .await?;

        let step = if fate.slow {
            self.pace.step * SLOW
        } else {
            self.pace.step
        };
        for done in 1..=STEPS {
            sleep(step).await;
            if let Some(end) = self.call_back_of(update, fate).await? {
                return Ok(end);
            }
            if fate.silent && done == STEPS {
                return Ok(End::Silent);
            }
            let mut report = Report::new(Execution::Proceeding, Finished::None);
            report.progress = Some((done, STEPS));
            report.details = vec![format!("wrote part {done} of {STEPS} to the other slot")];
            self.report(update, report).await?;
        }
        if fate.fails {
            let why = "HEALTH_CHECK_FAILED: the new slot did not come up, back on the old one";
            return self.fail(update, why.to_owned()).await;
        }
        let mut report = Report::new(Execution::Closed, Finished::Success);
        report.details = vec!["installed".to_owned()];
        self.report(update, report).await?;
        Ok(End::Installed(offer.version().to_owned()))
    }

    async fn fail(&self, update: &str, why: String) -> Result<End, DdiError> {
        let mut report = Report::new(Execution::Closed, Finished::Failure);
        report.details = vec![why];
        self.report(update, report).await?;
        Ok(End::Failed)
    }

    /// Looks whether the update is being called back, and answers that.
    async fn call_back_of(&self, update: &str, fate: Fate) -> Result<Option<End>, DdiError> {
        let poll = self.with_place(self.ddi.poll()).await?;
        self.remember(|memory| memory.polls += 1);
        let Some(href) = poll.cancel_action() else {
            return Ok(None);
        };
        if self.with_place(self.ddi.cancel(href)).await? != update {
            return Ok(None);
        }
        if fate.rejects_cancel {
            let mut report = Report::new(Execution::Rejected, Finished::None);
            report.details = vec!["too far along to stop".to_owned()];
            self.with_place(self.ddi.cancel_feedback(update, &report))
                .await?;
            return Ok(None);
        }
        self.agree_to_cancel(update).await?;
        Ok(Some(End::CalledBack))
    }

    async fn agree_to_cancel(&self, update: &str) -> Result<(), DdiError> {
        let report = Report::new(Execution::Closed, Finished::Success);
        self.with_place(self.ddi.cancel_feedback(update, &report))
            .await
    }

    async fn report_itself(&self) -> Result<(), DdiError> {
        let mut data = self.attributes.clone();
        data.insert(
            "sw_version".to_owned(),
            self.recall(|memory| memory.version.clone()),
        );
        self.with_place(self.ddi.config_data(&data)).await
    }

    /// Reports until the server acknowledges it or does not want it: a device keeps what it has to say.
    async fn report(&self, update: &str, report: Report) -> Result<(), DdiError> {
        loop {
            match self.with_place(self.ddi.feedback(update, &report)).await {
                Ok(()) => break,
                Err(error)
                    if error
                        .status()
                        .is_some_and(|status| status.is_client_error()) =>
                {
                    return Err(error);
                }
                Err(error) => self.remember(|memory| {
                    memory.errors += 1;
                    memory.last_error = Some(error.to_string());
                }),
            }
            sleep(self.pace.poll.0).await;
        }
        let acknowledged = Acknowledged {
            update: update.to_owned(),
            execution: report.execution,
            finished: report.finished,
        };
        self.remember(|memory| memory.acknowledged.push(acknowledged));
        Ok(())
    }

    /// Runs a request when there is a connection for it.
    async fn with_place<T>(&self, request: impl Future<Output = T>) -> T {
        // The semaphore is never closed.
        let _place = self.places.acquire().await;
        request.await
    }

    fn pause(&mut self, least: Duration) -> Duration {
        self.jitter
            .random_range(least..=self.pace.poll.1.max(least))
    }

    fn remember(&self, change: impl FnOnce(&mut Memory)) {
        change(&mut self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_waiters();
    }

    fn recall<T>(&self, read: impl FnOnce(&Memory) -> T) -> T {
        read(&self.memory.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
