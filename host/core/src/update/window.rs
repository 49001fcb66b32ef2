//! Maintenance windows of updates.

use std::borrow::Cow;

use super::{UpdateState, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback, Finished},
    time::Timestamp,
};

impl UpdateState {
    /// Interprets feedback from a device that may only download because its window is closed: some devices then
    /// report success when the download is complete.
    pub fn interpret_feedback<'a>(
        &self,
        feedback: &'a Feedback,
        now: Timestamp,
    ) -> Cow<'a, Feedback> {
        let reports_success =
            feedback.execution == Execution::Closed && feedback.finished != Finished::Failure;
        let window = self.options.window.as_ref();
        let only_prefetches =
            || window.is_some_and(|window| window.prefetches() && !window.is_open(now));
        if reports_success && only_prefetches() {
            let mut interpreted = feedback.clone();
            interpreted.execution = Execution::Downloaded;
            interpreted.finished = Finished::None;
            return Cow::Owned(interpreted);
        }
        Cow::Borrowed(feedback)
    }

    /// True if the update is withheld from its device until the window opens.
    pub fn is_waiting_for_window(&self, now: Timestamp) -> bool {
        let Some(window) = &self.options.window else {
            return false;
        };
        self.status.waits_for_window() && !window.prefetches() && !window.is_open(now)
    }

    /// When the timeout starts: at the offer, or at the opening of the window that the device waited for.
    pub fn timeout_starts_at(&self, offered: Timestamp) -> Timestamp {
        if self.options.window.is_none() {
            return offered;
        }
        let whole = self.options.timeouts.update.as_millis();
        let began =
            i64::try_from(whole).map_or(offered.0, |whole| self.ends_at.0.saturating_sub(whole));
        offered.max(Timestamp(began))
    }

    /// Why the update waits for its window, for operators; `None`: it does not wait.
    pub fn window_wait_reason(&self, now: Timestamp) -> Option<String> {
        let window = self.options.window.as_ref()?;
        let waits = self.status.waits_for_window() && !window.is_open(now);
        waits.then(|| window.describe(now))
    }
}

impl UpdateStatus {
    /// True if a closed window delays this status. Confirmations and cancellations ignore windows.
    pub fn waits_for_window(self) -> bool {
        self.is_actionable()
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{
        super::{
            Confirmation, EventError, OnDenied, SuccessCriteria, Timeouts, UpdateEvent,
            UpdateOptions, UpdateType,
        },
        *,
    };
    use crate::window::{MaintenanceWindow, WindowSpec};

    const HOUR: i64 = 60 * 60 * 1000;
    /// Daily from 01:00 to 02:00.
    const OPENING: Timestamp = Timestamp(HOUR);
    const CLOSED: Timestamp = Timestamp(HOUR / 2);

    fn options(prefetch: bool) -> UpdateOptions {
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: "0 1 * * *".to_owned(),
            duration: Duration::from_hours(1),
            timezone: "UTC".to_owned(),
            prefetch,
        });
        UpdateOptions {
            timeouts: Timeouts {
                update: Duration::from_mins(30),
                download: Some(Duration::from_mins(10)),
                install: Some(Duration::from_mins(20)),
            },
            window: Some(Arc::new(window.expect("a valid window"))),
            ..UpdateOptions::forced(Duration::ZERO)
        }
    }

    fn feedback(execution: Execution, finished: Finished) -> UpdateEvent {
        UpdateEvent::Feedback(Feedback {
            messages: vec!["skipped".to_owned()],
            ..Feedback::new(execution, finished)
        })
    }

    fn offered(options: UpdateOptions) -> UpdateState {
        UpdateState::offered(SuccessCriteria::Reported, options, CLOSED)
    }

    fn step(state: UpdateState, event: &UpdateEvent, now: Timestamp) -> UpdateState {
        state.after(event, now).expect("a valid event")
    }

    #[test]
    fn prefetched_files_do_not_count_as_installed() {
        use Execution as E;
        use Finished as F;
        use UpdateStatus as S;
        for (prefetch, now, execution, finished, expected) in [
            (true, CLOSED, E::Closed, F::Success, S::Installing),
            (true, CLOSED, E::Closed, F::None, S::Installing),
            (true, CLOSED, E::Downloaded, F::None, S::Installing),
            (true, CLOSED, E::Closed, F::Failure, S::Failed),
            (true, OPENING, E::Closed, F::Success, S::Completed),
            // The device started while the window was open.
            (false, CLOSED, E::Closed, F::Success, S::Completed),
            (false, OPENING, E::Closed, F::Success, S::Completed),
        ] {
            let taken_up = step(offered(options(prefetch)), &UpdateEvent::Retrieved, now);
            let after = step(taken_up, &feedback(execution, finished), now);
            assert_eq!(
                after.status, expected,
                "{prefetch} {now:?} {execution:?} {finished:?}"
            );
        }
    }

    #[test]
    fn success_counts_once_the_window_is_open() {
        let done = feedback(Execution::Closed, Finished::Success);
        let fetched = step(offered(options(true)), &done, CLOSED);
        assert_eq!(step(fetched.clone(), &done, CLOSED), fetched, "repeated");
        let installed = step(fetched, &done, OPENING);
        assert_eq!(installed.status, UpdateStatus::Completed);
    }

    #[test]
    fn download_only_updates_complete_before_the_window_opens() {
        let mut options = options(true);
        options.update_type = UpdateType::DownloadOnly;
        let done = feedback(Execution::Closed, Finished::Success);
        assert_eq!(
            step(offered(options), &done, CLOSED).status,
            UpdateStatus::Completed
        );
    }

    #[test]
    fn cancelled_updates_stay_cancelled() {
        let cancelling = step(
            offered(options(true)),
            &UpdateEvent::CancelRequested,
            CLOSED,
        );
        let done = feedback(Execution::Closed, Finished::Success);
        let after = step(cancelling.clone(), &done, CLOSED);
        assert!(after.differs_only_in_report(&cancelling), "{after:?}");
        let ended = step(cancelling, &UpdateEvent::DeviceGone, CLOSED);
        assert_eq!(ended.after(&done, CLOSED), Err(EventError::Closed));
    }

    #[test]
    fn timeouts_start_when_the_window_opens() {
        let minutes = |n: i64| Timestamp(n * 60_000);
        let offered = offered(options(true));
        assert_eq!(offered.timeout_at, minutes(60 + 30));
        let downloading = step(offered.clone(), &UpdateEvent::Retrieved, minutes(40));
        assert_eq!(downloading.timeout_at, minutes(60 + 10));
        let fetched = feedback(Execution::Downloaded, Finished::None);
        let fetched = step(downloading, &fetched, minutes(50));
        assert_eq!(fetched.timeout_at, minutes(60 + 20));

        let in_time = step(offered.clone(), &UpdateEvent::Retrieved, minutes(65));
        assert_eq!(in_time.timeout_at, minutes(65 + 10));
        // The rest of the window is shorter than the update timeout.
        let late = UpdateState::offered(SuccessCriteria::Reported, options(false), minutes(100));
        assert_eq!(late.timeout_at, minutes(24 * 60 + 60 + 30));
        assert_eq!(offered.timeout_starts_at(CLOSED), OPENING);
        assert_eq!(late.timeout_starts_at(minutes(100)), minutes(24 * 60 + 60));
        let cancelling = step(late, &UpdateEvent::CancelRequested, minutes(200));
        assert_eq!(cancelling.timeout_at, minutes(200 + 30), "from now");
    }

    #[test]
    fn confirmations_ignore_the_window() {
        let with_confirmation = UpdateOptions {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::OfferAgain,
                timeout: Duration::from_mins(5),
            }),
            ..options(false)
        };
        let waiting = offered(with_confirmation);
        assert_eq!(waiting.timeout_at, CLOSED.plus(Duration::from_mins(5)));
        assert!(!waiting.is_waiting_for_window(CLOSED));
        assert_eq!(waiting.window_wait_reason(CLOSED), None);
        let confirmed = step(waiting, &UpdateEvent::AutoConfirmed, CLOSED);
        let last = OPENING.plus(Duration::from_mins(30));
        assert_eq!(confirmed.timeout_at, last, "from the opening");
        assert!(confirmed.is_waiting_for_window(CLOSED));
    }

    #[test]
    fn window_wait_reason_names_the_next_opening() {
        let held = offered(options(false));
        assert!(held.is_waiting_for_window(CLOSED) && !held.is_waiting_for_window(OPENING));
        assert_eq!(
            held.window_wait_reason(CLOSED).as_deref(),
            Some("its maintenance window is closed and opens at 1970-01-01 01:00:00 UTC (UTC)")
        );
        assert_eq!(held.window_wait_reason(OPENING), None);
        let ahead = offered(options(true));
        assert!(
            !ahead.is_waiting_for_window(CLOSED),
            "downloads are allowed"
        );
        assert!(ahead.window_wait_reason(CLOSED).is_some());
    }
}
