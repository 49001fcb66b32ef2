//! What a maintenance window makes of an update.

use std::borrow::Cow;

use super::{Progress, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback, Finished},
    time::Timestamp,
};

impl Progress {
    /// What the device means by this: one that may fetch the files before the window opens is done when they are there,
    /// and some say so in the words in which they say that they installed it.
    pub fn heard<'a>(&self, feedback: &'a Feedback, now: Timestamp) -> Cow<'a, Feedback> {
        let closes_well =
            feedback.execution == Execution::Closed && feedback.finished != Finished::Failure;
        let window = self.terms.window.as_ref();
        let only_fetches =
            || window.is_some_and(|window| window.prefetches() && !window.is_open(now));
        if closes_well && only_fetches() {
            let mut heard = feedback.clone();
            heard.execution = Execution::Downloaded;
            heard.finished = Finished::None;
            return Cow::Owned(heard);
        }
        Cow::Borrowed(feedback)
    }

    /// Whether it is kept from its device until its window opens.
    pub fn is_held(&self, now: Timestamp) -> bool {
        let Some(window) = &self.terms.window else {
            return false;
        };
        self.status.waits_for_window() && !window.prefetches() && !window.is_open(now)
    }

    /// Since when its device could have been at it: since the offer, or since the window opened that it waited for.
    pub fn time_began(&self, offered: Timestamp) -> Timestamp {
        if self.terms.window.is_none() {
            return offered;
        }
        let whole = self.terms.timeouts.update.as_millis();
        let began =
            i64::try_from(whole).map_or(offered.0, |whole| self.ends_at.0.saturating_sub(whole));
        offered.max(Timestamp(began))
    }

    /// Why it is not installed now, for people, if it waits for its window.
    pub fn why_held(&self, now: Timestamp) -> Option<String> {
        let window = self.terms.window.as_ref()?;
        let waits = self.status.waits_for_window() && !window.is_open(now);
        waits.then(|| window.in_words(now))
    }
}

impl UpdateStatus {
    /// Whether a closed window keeps it from going on. Questions are asked, and call backs sent, at any time.
    pub fn waits_for_window(self) -> bool {
        matches!(self, Self::Offered | Self::Downloading | Self::Installing)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{
        super::{Confirmation, Event, OnDenied, Proof, Refusal, Terms, Timeouts, UpdateType},
        *,
    };
    use crate::window::{MaintenanceWindow, WindowSpec};

    const HOUR: i64 = 60 * 60 * 1000;
    /// Every day from one to two.
    const OPENING: Timestamp = Timestamp(HOUR);
    const CLOSED: Timestamp = Timestamp(HOUR / 2);

    fn terms(prefetch: bool) -> Terms {
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: "0 1 * * *".to_owned(),
            duration: Duration::from_hours(1),
            timezone: "UTC".to_owned(),
            prefetch,
        });
        Terms {
            timeouts: Timeouts {
                update: Duration::from_mins(30),
                download: Some(Duration::from_mins(10)),
                install: Some(Duration::from_mins(20)),
            },
            window: Some(Arc::new(window.expect("a good window"))),
            ..Terms::forced(Duration::ZERO)
        }
    }

    fn says(execution: Execution, finished: Finished) -> Event {
        Event::Feedback(Feedback {
            messages: vec!["skipped".to_owned()],
            ..Feedback::new(execution, finished)
        })
    }

    fn offered(terms: Terms) -> Progress {
        Progress::offered(Proof::Reported, terms, CLOSED)
    }

    fn step(progress: Progress, event: &Event, now: Timestamp) -> Progress {
        progress.after(event, now).expect("it is taken")
    }

    #[test]
    fn what_was_fetched_ahead_is_not_installed() {
        use Execution as E;
        use Finished as F;
        use UpdateStatus as S;
        for (prefetch, now, execution, finished, expected) in [
            (true, CLOSED, E::Closed, F::Success, S::Installing),
            (true, CLOSED, E::Closed, F::None, S::Installing),
            (true, CLOSED, E::Downloaded, F::None, S::Installing),
            (true, CLOSED, E::Closed, F::Failure, S::Failed),
            (true, OPENING, E::Closed, F::Success, S::Completed),
            // It began while the window was open.
            (false, CLOSED, E::Closed, F::Success, S::Completed),
            (false, OPENING, E::Closed, F::Success, S::Completed),
        ] {
            let taken_up = step(offered(terms(prefetch)), &Event::Retrieved, now);
            let after = step(taken_up, &says(execution, finished), now);
            assert_eq!(
                after.status, expected,
                "{prefetch} {now:?} {execution:?} {finished:?}"
            );
        }
    }

    #[test]
    fn the_same_words_count_when_the_window_is_open() {
        let done = says(Execution::Closed, Finished::Success);
        let fetched = step(offered(terms(true)), &done, CLOSED);
        assert_eq!(step(fetched.clone(), &done, CLOSED), fetched, "said twice");
        let installed = step(fetched, &done, OPENING);
        assert_eq!(installed.status, UpdateStatus::Completed);
    }

    #[test]
    fn what_is_only_to_be_fetched_is_done_when_it_is_there() {
        let mut terms = terms(true);
        terms.update_type = UpdateType::DownloadOnly;
        let done = says(Execution::Closed, Finished::Success);
        assert_eq!(
            step(offered(terms), &done, CLOSED).status,
            UpdateStatus::Completed
        );
    }

    #[test]
    fn what_was_called_back_stays_called_back() {
        let called_back = step(offered(terms(true)), &Event::CancelRequested, CLOSED);
        let done = says(Execution::Closed, Finished::Success);
        let after = step(called_back.clone(), &done, CLOSED);
        assert!(after.stands_as(&called_back), "{after:?}");
        let ended = step(called_back, &Event::DeviceGone, CLOSED);
        assert_eq!(ended.after(&done, CLOSED), Err(Refusal::Closed));
    }

    #[test]
    fn nobody_is_late_who_waits_for_the_window() {
        let minutes = |n: i64| Timestamp(n * 60_000);
        let offered = offered(terms(true));
        assert_eq!(offered.timeout_at, minutes(60 + 30));
        let downloading = step(offered.clone(), &Event::Retrieved, minutes(40));
        assert_eq!(downloading.timeout_at, minutes(60 + 10));
        let fetched = says(Execution::Downloaded, Finished::None);
        let fetched = step(downloading, &fetched, minutes(50));
        assert_eq!(fetched.timeout_at, minutes(60 + 20));

        let in_time = step(offered.clone(), &Event::Retrieved, minutes(65));
        assert_eq!(in_time.timeout_at, minutes(65 + 10));
        // What is left of the window is less than an update may take.
        let late = Progress::offered(Proof::Reported, terms(false), minutes(100));
        assert_eq!(late.timeout_at, minutes(24 * 60 + 60 + 30));
        assert_eq!(offered.time_began(CLOSED), OPENING);
        assert_eq!(late.time_began(minutes(100)), minutes(24 * 60 + 60));
        let called_back = step(late, &Event::CancelRequested, minutes(200));
        assert_eq!(called_back.timeout_at, minutes(200 + 30), "from now on");
    }

    #[test]
    fn questions_are_asked_at_any_time() {
        let asks = Terms {
            confirmation: Some(Confirmation {
                on_denied: OnDenied::OfferAgain,
                timeout: Duration::from_mins(5),
            }),
            ..terms(false)
        };
        let asked = offered(asks);
        assert_eq!(asked.timeout_at, CLOSED.plus(Duration::from_mins(5)));
        assert!(!asked.is_held(CLOSED));
        assert_eq!(asked.why_held(CLOSED), None);
        let agreed = step(asked, &Event::AutoConfirmed, CLOSED);
        let last = OPENING.plus(Duration::from_mins(30));
        assert_eq!(agreed.timeout_at, last, "from the opening on");
        assert!(agreed.is_held(CLOSED));
    }

    #[test]
    fn why_it_waits_is_said() {
        let held = offered(terms(false));
        assert!(held.is_held(CLOSED) && !held.is_held(OPENING));
        assert_eq!(
            held.why_held(CLOSED).as_deref(),
            Some("its maintenance window is closed, and opens at 1970-01-01 01:00:00 UTC (UTC)")
        );
        assert_eq!(held.why_held(OPENING), None);
        let ahead = offered(terms(true));
        assert!(!ahead.is_held(CLOSED), "its files may be fetched");
        assert!(ahead.why_held(CLOSED).is_some());
    }
}
