//! Retries of an update: which failures are retried, and the chain of attempts.

use super::{Update, UpdateOptions, UpdateState, UpdateStatus};
use crate::{id::UpdateId, time::Timestamp, update::SuccessCriteria};

/// Position of an update in a chain of retries. Each attempt has its own update id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attempt {
    /// Number of earlier attempts.
    pub count: u32,
    /// The first attempt; `None`: this one.
    pub first: Option<UpdateId>,
    /// Earliest time of the offer; `None`: offered at creation.
    pub scheduled_at: Option<Timestamp>,
    /// True if another update took its place: a retry, after it failed, or the next step of its upgrade path, after it
    /// completed. Its end is then not counted.
    pub is_retried: bool,
}

impl UpdateState {
    /// The state of a retry that is offered at `at`.
    pub fn scheduled(
        success_criteria: SuccessCriteria,
        options: UpdateOptions,
        at: Timestamp,
    ) -> Self {
        Self {
            status: UpdateStatus::Scheduled,
            timeout_at: at,
            ends_at: at,
            ..Self::offered(success_criteria, options, at)
        }
    }
}

impl Update {
    /// When to retry the update after it left status `before`; `None`: not at all.
    ///
    /// Failed and timed-out updates are retried. Cancelled, denied and unconfirmed ones are not.
    pub fn next_retry_at(&self, before: UpdateStatus, now: Timestamp) -> Option<Timestamp> {
        let failed = matches!(
            self.state.status,
            UpdateStatus::Failed | UpdateStatus::TimedOut
        );
        let was_tried = before.is_open()
            && !matches!(
                before,
                UpdateStatus::Scheduled
                    | UpdateStatus::WaitingConfirmation
                    | UpdateStatus::Cancelling
            );
        let (retry, retries) = (self.attempt.count + 1, self.state.options.retries);
        (failed && was_tried && retry <= retries.max_retries)
            .then(|| now.plus(retries.delay_before(retry, self.id)))
    }

    /// When it was first offered, or will be.
    pub fn offered_at(&self) -> Timestamp {
        self.attempt.scheduled_at.unwrap_or(self.created_at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        super::{Confirmation, OnDenied, Purpose, RetryPolicy, UpdateEvent},
        *,
    };
    use crate::id::{CampaignId, DeviceKey, FirmwareId, TenantId};

    const NOW: Timestamp = Timestamp(5_000_000);

    fn retries(limit: u32, seconds: u64) -> RetryPolicy {
        RetryPolicy {
            max_retries: limit,
            delay: Duration::from_secs(seconds),
        }
    }

    fn options(retries: RetryPolicy) -> UpdateOptions {
        UpdateOptions {
            retries,
            ..UpdateOptions::forced(Duration::from_mins(30))
        }
    }

    fn update_in(status: UpdateStatus, count: u32, limit: u32) -> Update {
        Update {
            id: UpdateId(7),
            tenant: TenantId(1),
            device: DeviceKey(1),
            firmware: FirmwareId(1),
            campaign: Some((CampaignId(1), Purpose::Forward { wave: 0 })),
            weight: 0,
            state: UpdateState {
                status,
                ..UpdateState::offered(
                    SuccessCriteria::Reported,
                    options(retries(limit, 60)),
                    Timestamp(0),
                )
            },
            from_version: None,
            to_version: "2".to_owned(),
            from_firmware: None,
            created_at: Timestamp(0),
            attempt: Attempt {
                count,
                ..Attempt::default()
            },
            compatibility: None,
        }
    }

    #[test]
    fn failures_and_timeouts_are_retried() {
        use UpdateStatus as S;
        for (before, after, count, limit, again) in [
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
            (S::Scheduled, S::Failed, 0, 1, false),
        ] {
            let next = update_in(after, count, limit).next_retry_at(before, NOW);
            assert_eq!(
                next.is_some(),
                again,
                "{before:?} {after:?} {count} of {limit}"
            );
            if let Some(at) = next {
                let delay_before = retries(limit, 60).delay_before(count + 1, UpdateId(7));
                assert_eq!(at, NOW.plus(delay_before));
            }
        }
    }

    fn step(state: UpdateState, event: &UpdateEvent, at: Timestamp) -> UpdateState {
        state.after(event, at).expect("a valid event")
    }

    #[test]
    fn a_retry_waits_until_scheduled_and_gets_the_full_timeout() {
        let scheduled =
            UpdateState::scheduled(SuccessCriteria::Reported, options(retries(1, 60)), NOW);
        assert_eq!(scheduled.status, UpdateStatus::Scheduled);
        assert_eq!(scheduled.timeout_at, NOW);
        assert!(!scheduled.status.is_offered_to_device() && scheduled.status.is_open());

        let early = step(
            scheduled.clone(),
            &UpdateEvent::DeadlinePassed,
            Timestamp(NOW.0 - 1),
        );
        assert_eq!(early, scheduled);
        let late = NOW.plus(Duration::from_mins(5));
        let offered = step(scheduled.clone(), &UpdateEvent::DeadlinePassed, late);
        assert_eq!(offered.status, UpdateStatus::Offered);
        assert_eq!(offered.timeout_at, late.plus(Duration::from_mins(30)));

        let fetched = step(scheduled.clone(), &UpdateEvent::Retrieved, NOW);
        assert_eq!(fetched, scheduled, "a scheduled retry is not offered");
        let cancelled = step(scheduled.clone(), &UpdateEvent::CancelRequested, NOW);
        assert_eq!(cancelled.status, UpdateStatus::Cancelled);
        assert_eq!(
            step(scheduled, &UpdateEvent::DeviceGone, NOW).status,
            UpdateStatus::Cancelled
        );
    }

    #[test]
    fn every_retry_needs_confirmation() {
        let with_confirmation = UpdateOptions {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::Reject,
                timeout: Duration::from_mins(90),
            }),
            ..options(retries(1, 60))
        };
        let scheduled = UpdateState::scheduled(SuccessCriteria::Reported, with_confirmation, NOW);
        let due = step(scheduled, &UpdateEvent::DeadlinePassed, NOW);
        assert_eq!(due.status, UpdateStatus::WaitingConfirmation);
        assert_eq!(due.timeout_at, NOW.plus(Duration::from_mins(90)));
    }
}
