//! Trying again: which failures are worth it, when the next try goes out, and what keeps it in.

use std::time::Duration;

use super::{Progress, Purpose, Terms, Update, UpdateStatus};
use crate::{campaign::CampaignStatus, id::UpdateId, time::Timestamp, update::Proof};

/// Most retries of an update.
pub const MAX_RETRIES: u32 = 10;
/// The longest time between two tries that can be asked for, and that doubling comes to, before the jitter.
pub const MAX_RETRY_DELAY: Duration = Duration::from_hours(1);

/// How often, and after how long, an update that failed is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How many tries follow the first one at most, up to [`MAX_RETRIES`].
    pub most: u32,
    /// How long after the first failure the second try goes out; doubled with each one more, up to [`MAX_RETRY_DELAY`].
    pub delay: Duration,
}

impl Retries {
    /// Every update is tried once.
    pub const NONE: Self = Self {
        most: 0,
        delay: Duration::from_mins(1),
    };

    /// How long to wait before this retry, counted from 1, after that try failed.
    ///
    /// Up to a quarter more than the doubled delay, and never less: devices that fail together do not come back
    /// together. The jitter is drawn from the id of the try that failed, so that the same failure is always followed by
    /// the same wait.
    pub fn wait(self, retry: u32, failed: UpdateId) -> Duration {
        let doubled = 2_u32.saturating_pow(retry.saturating_sub(1));
        let delay = self.delay.saturating_mul(doubled).min(MAX_RETRY_DELAY);
        delay + delay / 4 * (scattered(failed) % 1024) / 1024
    }
}

/// The id's bits, well shaken (the finisher of `MurmurHash3`).
fn scattered(id: UpdateId) -> u32 {
    let mut bits = id.0.cast_unsigned();
    bits = (bits ^ (bits >> 16)).wrapping_mul(0x85eb_ca6b);
    bits = (bits ^ (bits >> 13)).wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}

/// Which try of an update it is. Devices know each try by an id of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Try {
    /// How many came before it.
    pub count: u32,
    /// The first one; none: it is the first.
    pub first: Option<UpdateId>,
    /// When it is offered at the earliest; none: as soon as it was made.
    pub scheduled_at: Option<Timestamp>,
    /// Whether it failed and another one took its place: its failure is nobody's.
    pub is_retried: bool,
}

/// What becomes of a try whose time has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// It is offered.
    Offered,
    /// It waits until its campaign goes on.
    Waits,
    /// It is called back.
    Dropped,
}

impl Progress {
    /// A try that waits for its time.
    pub fn scheduled(proof: Proof, terms: Terms, at: Timestamp) -> Self {
        Self {
            status: UpdateStatus::Scheduled,
            timeout_at: at,
            ends_at: at,
            ..Self::offered(proof, terms, at)
        }
    }
}

impl Update {
    /// When the update is tried again after the step that it just took from `before`; none: it is not.
    ///
    /// What a device reports as failed and what times out is worth another try. What was called back, what somebody said
    /// no to and what nobody answered is not.
    pub fn next_try(&self, before: UpdateStatus, now: Timestamp) -> Option<Timestamp> {
        let failed = matches!(
            self.progress.status,
            UpdateStatus::Failed | UpdateStatus::TimedOut
        );
        let was_tried = before.is_open()
            && !matches!(
                before,
                UpdateStatus::WaitingConfirmation | UpdateStatus::Cancelling
            );
        let (retry, retries) = (self.attempt.count + 1, self.progress.terms.retries);
        (failed && was_tried && retry <= retries.most)
            .then(|| now.plus(retries.wait(retry, self.id)))
    }

    /// When it was offered first, or will be.
    pub fn offered_at(&self) -> Timestamp {
        self.attempt.scheduled_at.unwrap_or(self.created_at)
    }
}

/// What becomes of a try whose time has come, as its campaign stands, if it has one. A pin keeps everything from a device
/// that goes forward; who pinned it meanwhile does not want it tried again.
pub fn due(campaign: Option<(CampaignStatus, Purpose)>, is_pinned: bool) -> Due {
    use CampaignStatus as S;
    match campaign {
        // Operators can go past a pin with an update of their own, which they can call back.
        None | Some((_, Purpose::Return)) => Due::Offered,
        Some((S::Cancelled | S::RollingBack | S::RolledBack | S::Failed, _)) => Due::Dropped,
        Some(_) if is_pinned => Due::Dropped,
        Some((S::InProgress | S::Completed, _)) => Due::Offered,
        Some((S::Created | S::Paused | S::Held, _)) => Due::Waits,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Confirmation, Event, OnDenied},
        *,
    };
    use crate::id::{CampaignId, DeviceKey, FirmwareId, TenantId};

    const NOW: Timestamp = Timestamp(5_000_000);

    fn retries(most: u32, seconds: u64) -> Retries {
        Retries {
            most,
            delay: Duration::from_secs(seconds),
        }
    }

    fn terms(retries: Retries) -> Terms {
        Terms {
            retries,
            ..Terms::forced(Duration::from_mins(30))
        }
    }

    #[test]
    fn waits_double_up_to_an_hour_and_scatter_upwards() {
        for (retry, seconds) in [
            (1, 60),
            (2, 120),
            (3, 240),
            (6, 1920),
            (7, 3600),
            (10, 3600),
        ] {
            let waits = (1..200).map(|id| retries(10, 60).wait(retry, UpdateId(id)).as_millis());
            let waits: std::collections::BTreeSet<u128> = waits.collect();
            let (Some(shortest), Some(longest)) = (waits.first(), waits.last()) else {
                panic!("there are waits");
            };
            let least = seconds * 1000;
            assert!(
                (least..least + least / 40).contains(shortest),
                "{retry}: {shortest}"
            );
            let most = least * 5 / 4;
            assert!(
                (most - least / 40..=most).contains(longest),
                "{retry}: {longest}"
            );
            assert!(
                waits.len() > 150,
                "{retry}: {} different waits",
                waits.len()
            );
        }
        let wait = || retries(10, 60).wait(4, UpdateId(7));
        assert_eq!(wait(), wait(), "the same failure, the same wait");
    }

    fn stands(status: UpdateStatus, count: u32, most: u32) -> Update {
        Update {
            id: UpdateId(7),
            tenant: TenantId(1),
            device: DeviceKey(1),
            firmware: FirmwareId(1),
            campaign: Some((CampaignId(1), Purpose::Forward { wave: 0 })),
            weight: 0,
            progress: Progress {
                status,
                ..Progress::offered(Proof::Reported, terms(retries(most, 60)), Timestamp(0))
            },
            from_version: None,
            to_version: "2".to_owned(),
            from_firmware: None,
            created_at: Timestamp(0),
            attempt: Try {
                count,
                ..Try::default()
            },
        }
    }

    #[test]
    fn failures_and_silence_are_tried_again() {
        use UpdateStatus as S;
        for (before, after, count, most, again) in [
            (S::Installing, S::Failed, 0, 1, true),
            (S::Downloading, S::TimedOut, 0, 1, true),
            (S::Offered, S::TimedOut, 9, 10, true),
            (S::Verifying, S::TimedOut, 0, 1, true),
            (S::Installing, S::Failed, 0, 0, false),
            (S::Installing, S::Failed, 1, 1, false),
            (S::Installing, S::Failed, 10, 10, false),
            (S::Installing, S::Completed, 0, 1, false),
            (S::Installing, S::Cancelling, 0, 1, false),
            (S::Cancelling, S::Failed, 0, 1, false),
            (S::Cancelling, S::Cancelled, 0, 1, false),
            (S::WaitingConfirmation, S::TimedOut, 0, 1, false),
            (S::WaitingConfirmation, S::Rejected, 0, 1, false),
            (S::Offered, S::Rejected, 0, 1, false),
        ] {
            let next = stands(after, count, most).next_try(before, NOW);
            assert_eq!(
                next.is_some(),
                again,
                "{before:?} {after:?} {count} of {most}"
            );
            if let Some(at) = next {
                let wait = retries(most, 60).wait(count + 1, UpdateId(7));
                assert_eq!(at, NOW.plus(wait));
            }
        }
    }

    fn step(progress: Progress, event: &Event, at: Timestamp) -> Progress {
        progress.after(event, at).expect("it is taken")
    }

    #[test]
    fn a_try_waits_for_its_time_and_then_has_all_of_it() {
        let scheduled = Progress::scheduled(Proof::Reported, terms(retries(1, 60)), NOW);
        assert_eq!(scheduled.status, UpdateStatus::Scheduled);
        assert_eq!(scheduled.timeout_at, NOW);
        assert!(!scheduled.status.is_offered_to_device() && scheduled.status.is_open());

        let early = step(
            scheduled.clone(),
            &Event::DeadlinePassed,
            Timestamp(NOW.0 - 1),
        );
        assert_eq!(early, scheduled);
        let late = NOW.plus(Duration::from_mins(5));
        let offered = step(scheduled.clone(), &Event::DeadlinePassed, late);
        assert_eq!(offered.status, UpdateStatus::Offered);
        assert_eq!(offered.timeout_at, late.plus(Duration::from_mins(30)));

        let fetched = step(scheduled.clone(), &Event::Retrieved, NOW);
        assert_eq!(fetched, scheduled, "nobody takes up what is not offered");
        let called_back = step(scheduled.clone(), &Event::CancelRequested, NOW);
        assert_eq!(called_back.status, UpdateStatus::Cancelled);
        assert_eq!(
            step(scheduled, &Event::DeviceGone, NOW).status,
            UpdateStatus::Cancelled
        );
    }

    #[test]
    fn somebody_is_asked_before_every_try() {
        let asks = Terms {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::Reject,
                timeout: Duration::from_mins(90),
            }),
            ..terms(retries(1, 60))
        };
        let scheduled = Progress::scheduled(Proof::Reported, asks, NOW);
        let due = step(scheduled, &Event::DeadlinePassed, NOW);
        assert_eq!(due.status, UpdateStatus::WaitingConfirmation);
        assert_eq!(due.timeout_at, NOW.plus(Duration::from_mins(90)));
    }

    #[test]
    fn a_try_goes_out_as_its_campaign_stands() {
        use CampaignStatus as S;
        let forward = Purpose::Forward { wave: 0 };
        assert_eq!(due(None, true), Due::Offered);
        for (status, on_its_way, pinned) in [
            (S::InProgress, Due::Offered, Due::Dropped),
            (S::Completed, Due::Offered, Due::Dropped),
            (S::Paused, Due::Waits, Due::Dropped),
            (S::Held, Due::Waits, Due::Dropped),
            (S::RollingBack, Due::Dropped, Due::Dropped),
            (S::RolledBack, Due::Dropped, Due::Dropped),
            (S::Cancelled, Due::Dropped, Due::Dropped),
            (S::Failed, Due::Dropped, Due::Dropped),
        ] {
            assert_eq!(
                due(Some((status, forward)), false),
                on_its_way,
                "{status:?}"
            );
            assert_eq!(due(Some((status, forward)), true), pinned, "{status:?}");
            assert_eq!(due(Some((status, Purpose::Return)), true), Due::Offered);
        }
    }
}
