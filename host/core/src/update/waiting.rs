//! Waiting behind another update: the clock of an update runs only while its device is shown the update.

use std::time::Duration;

use super::{UpdateState, UpdateStatus};
use crate::time::Timestamp;

impl UpdateState {
    /// The time by the update's own clock, which stands still while the update waits behind another one.
    pub(super) fn own_time(&self, now: Timestamp) -> Timestamp {
        self.waits_since.unwrap_or(now)
    }

    /// Stops or starts the update's clock. `is_visible`: a poll of the device would show this one of its open updates.
    /// The clock of an update that no poll shows in its status, such as `verifying`, runs; that of an update that waits
    /// for approval stands still. Returns whether anything changed.
    pub fn set_visible(&mut self, is_visible: bool, now: Timestamp) -> bool {
        if self.status == UpdateStatus::WaitingApproval {
            return false;
        }
        let waits = !is_visible && self.status.is_offered_to_device();
        match (waits, self.waits_since) {
            (true, None) => self.waits_since = Some(now),
            (false, Some(since)) => self.restart_clock(since, now),
            _ => return false,
        }
        true
    }

    /// Gives the update the time that it had left when its clock stopped.
    fn restart_clock(&mut self, since: Timestamp, now: Timestamp) {
        let timeouts = self.options.timeouts;
        let phase = self.phase_timeout().unwrap_or(timeouts.update);
        let end_of_phase = self.restarted(self.timeout_at, phase, since, now);
        self.ends_at = self.restarted(self.ends_at, timeouts.update, since, now);
        self.timeout_at = self.ends_at.min(end_of_phase);
        self.waits_since = None;
    }

    /// A deadline moved by the time for which the clock stood still. With a maintenance window the rest of `limit` starts
    /// at the opening that the device waits for.
    fn restarted(
        &self,
        deadline: Timestamp,
        limit: Duration,
        since: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let left = deadline.since(since);
        if self.options.window.is_some() && self.status.waits_for_window() {
            return self.deadline_in_window(now, left.min(limit));
        }
        now.plus(left)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::{SuccessCriteria, Timeouts, UpdateEvent, UpdateOptions, UpdateStatus},
        *,
    };
    use crate::{
        feedback::{Execution, Feedback, Finished},
        window::{MaintenanceWindow, WindowSpec},
    };

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    fn options() -> UpdateOptions {
        UpdateOptions {
            timeouts: Timeouts {
                update: Duration::from_hours(1),
                download: Some(Duration::from_mins(10)),
                install: Some(Duration::from_mins(20)),
            },
            ..UpdateOptions::forced(Duration::ZERO)
        }
    }

    fn offered(options: UpdateOptions) -> UpdateState {
        UpdateState::offered(SuccessCriteria::Attested, options, minute(0))
    }

    fn step(state: UpdateState, event: &UpdateEvent, at: i64) -> UpdateState {
        state.after(event, minute(at)).expect("a valid event")
    }

    fn feedback(execution: Execution) -> UpdateEvent {
        let finished = match execution {
            Execution::Closed => Finished::Success,
            _ => Finished::None,
        };
        UpdateEvent::Feedback(Feedback::new(execution, finished))
    }

    fn deadlines(state: &UpdateState) -> (i64, i64) {
        (state.timeout_at.0 / 60_000, state.ends_at.0 / 60_000)
    }

    #[test]
    fn a_waiting_update_does_not_time_out_and_keeps_the_time_that_it_had_left() {
        let mut state = offered(options());
        assert!(state.set_visible(false, minute(15)));
        assert!(!state.set_visible(false, minute(20)), "it waits already");
        let late = step(state.clone(), &UpdateEvent::DeadlinePassed, 10_000);
        assert_eq!(late, state, "no deadline passes while it waits");
        assert!(state.set_visible(true, minute(1000)));
        assert_eq!(deadlines(&state), (1045, 1045));
        assert!(!state.set_visible(true, minute(1001)), "its clock runs");
        let ended = step(state, &UpdateEvent::DeadlinePassed, 1045);
        assert_eq!(ended.status, UpdateStatus::TimedOut);
    }

    #[test]
    fn phases_that_begin_while_it_waits_start_when_its_clock_does() {
        let mut state = offered(options());
        state.set_visible(false, minute(30));
        let mut state = step(state, &UpdateEvent::Retrieved, 100);
        assert_eq!(deadlines(&state), (40, 60), "by its own clock");
        state.set_visible(true, minute(200));
        assert_eq!(deadlines(&state), (210, 230));

        let mut cancelling = offered(options());
        cancelling.set_visible(false, minute(30));
        let mut cancelling = step(cancelling, &UpdateEvent::CancelRequested, 100);
        cancelling.set_visible(true, minute(200));
        assert_eq!(deadlines(&cancelling), (230, 230));
    }

    #[test]
    fn the_clock_runs_once_no_poll_would_show_the_update() {
        let mut state = offered(options());
        state.set_visible(false, minute(30));
        let verifying = step(state.clone(), &feedback(Execution::Closed), 100);
        assert_eq!(verifying.status, UpdateStatus::Verifying);
        assert_eq!(verifying.waits_since, None);
        assert_eq!(deadlines(&verifying), (130, 130));
        let mut same = verifying.clone();
        assert!(!same.set_visible(false, minute(110)), "nothing to show");
        let ended = step(state, &UpdateEvent::DeviceGone, 100);
        assert_eq!(
            (ended.status, ended.waits_since),
            (UpdateStatus::Cancelled, None)
        );
    }

    #[test]
    fn an_update_with_a_window_continues_in_the_next_one() {
        // Daily from 01:00 to 02:00.
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: "0 1 * * *".to_owned(),
            duration: Duration::from_hours(1),
            timezone: "UTC".to_owned(),
            prefetch: false,
        });
        let mut options = options();
        options.timeouts.update = Duration::from_mins(40);
        options.window = Some(Arc::new(window.expect("a valid window")));
        let mut state = offered(options);
        assert_eq!(deadlines(&state), (100, 100), "from the opening");
        state.set_visible(false, minute(30));
        let mut before_it_opened = state.clone();
        before_it_opened.set_visible(true, minute(5 * 60));
        let opening = 25 * 60;
        assert_eq!(deadlines(&before_it_opened), (opening + 40, opening + 40));

        state.waits_since = Some(minute(90));
        state.set_visible(true, minute(5 * 60));
        assert_eq!(deadlines(&state), (opening + 10, opening + 10), "the rest");
    }
}
