//! The fetch of the files: it tells downloading from installing, because many devices report `proceeding` before they
//! download.

use std::time::Duration;

use strum::{EnumString, IntoStaticStr};

use super::{UpdateState, UpdateStatus};
use crate::{
    feedback::{Execution, Feedback},
    time::Timestamp,
};

/// How far the device has fetched the files of its update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum FileFetch {
    /// It is fetching a file.
    Begun,
    /// It has fetched them whole, and fetches none.
    Complete,
}

impl UpdateState {
    /// The device began to fetch a file: it downloads, whatever it reported before.
    pub(super) fn begin_fetch(mut self, now: Timestamp) -> Self {
        if !self.status.is_actionable() {
            return self;
        }
        self.status = UpdateStatus::Downloading;
        self.started_at.get_or_insert(now);
        self.fetch = Some(FileFetch::Begun);
        self
    }

    /// The device had begun to fetch a file. It was not seen when it began, so a fetch that is complete may be a later one.
    pub(super) fn see_fetch(self, now: Timestamp) -> Self {
        match self.fetch {
            Some(FileFetch::Complete) => self,
            _ => self.begin_fetch(now),
        }
    }

    /// The device has fetched the files whole: what it does now is to install them.
    pub(super) fn complete_fetch(mut self, now: Timestamp) -> Self {
        let is_cancelling = self.status == UpdateStatus::Cancelling;
        if !self.status.is_actionable() && !is_cancelling {
            return self;
        }
        self.fetch = Some(FileFetch::Complete);
        if !is_cancelling && self.options.update_type.installs() {
            return self.advance(UpdateStatus::Installing, now);
        }
        self
    }

    /// True if this feedback ends a fetch that the server has not seen complete. A device that fetches again reports its end
    /// again, in the same words.
    pub fn ends_fetch(&self, feedback: &Feedback) -> bool {
        self.status.is_actionable()
            && feedback.execution == Execution::Downloaded
            && self.fetch == Some(FileFetch::Begun)
    }

    /// The timeout of the installation. A device whose fetch the server has not seen complete may still be downloading
    /// from elsewhere: the longer of the two timeouts applies.
    pub(super) fn install_timeout(&self) -> Option<Duration> {
        let timeouts = self.options.timeouts;
        match self.fetch {
            Some(FileFetch::Complete) => timeouts.install,
            _ => Some(timeouts.install?.max(timeouts.download?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{SuccessCriteria, Timeouts, UpdateEvent, UpdateOptions, UpdateType},
        *,
    };
    use crate::feedback::Finished;

    fn minute(n: i64) -> Timestamp {
        Timestamp(n * 60_000)
    }

    fn options(download: Option<u64>, install: Option<u64>) -> UpdateOptions {
        UpdateOptions {
            timeouts: Timeouts {
                update: Duration::from_hours(2),
                download: download.map(Duration::from_mins),
                install: install.map(Duration::from_mins),
            },
            ..UpdateOptions::forced(Duration::ZERO)
        }
    }

    fn report(execution: Execution) -> UpdateEvent {
        UpdateEvent::Feedback(Feedback::new(execution, Finished::None))
    }

    /// Status and deadline in minutes after these events, each at its minute.
    fn after(options: UpdateOptions, events: &[(i64, UpdateEvent)]) -> (UpdateStatus, i64) {
        let mut state = UpdateState::offered(SuccessCriteria::Reported, options, minute(0));
        for (at, event) in events {
            state = state.after(event, minute(*at)).expect("a valid event");
        }
        (state.status, state.timeout_at.0 / 60_000)
    }

    #[test]
    fn a_device_that_reports_proceeding_before_its_download_downloads() {
        use UpdateStatus::{Downloading, Installing};
        let events = [
            (1, UpdateEvent::Retrieved),
            (2, report(Execution::Proceeding)),
            (3, UpdateEvent::FetchBegun),
            (20, report(Execution::Proceeding)),
            (40, UpdateEvent::FetchCompleted),
            (41, report(Execution::Proceeding)),
        ];
        let options = || options(Some(60), Some(10));
        for (count, expected) in [
            (1, (Downloading, 61)),
            // Not seen to download yet: the longer timeout.
            (2, (Installing, 62)),
            (3, (Downloading, 63)),
            (4, (Downloading, 63)),
            (5, (Installing, 50)),
            (6, (Installing, 50)),
        ] {
            assert_eq!(after(options(), &events[..count]), expected, "{count}");
        }
    }

    #[test]
    fn a_file_that_is_fetched_elsewhere_has_the_longer_timeout() {
        use UpdateStatus::Installing;
        let proceeding = [(5, report(Execution::Proceeding))];
        for (download, install, end) in [
            (Some(60), Some(10), 65),
            (Some(10), Some(60), 65),
            (None, Some(10), 120),
            (Some(10), None, 120),
        ] {
            assert_eq!(
                after(options(download, install), &proceeding),
                (Installing, end)
            );
        }
        // The device itself says that its download is complete.
        let downloaded = [(5, report(Execution::Downloaded))];
        let of_install = after(options(Some(60), Some(10)), &downloaded);
        assert_eq!(of_install, (Installing, 15));
    }

    #[test]
    fn a_device_that_fetches_again_downloads_again() {
        let events = [
            (1, UpdateEvent::FetchBegun),
            (2, UpdateEvent::FetchCompleted),
            (3, UpdateEvent::FetchBegun),
        ];
        let (status, end) = after(options(Some(60), Some(10)), &events);
        assert_eq!((status, end), (UpdateStatus::Downloading, 63));
    }

    #[test]
    fn a_beginning_that_is_recorded_late_does_not_undo_the_end() {
        use UpdateStatus::{Downloading, Installing};
        let events = [
            (1, UpdateEvent::Retrieved),
            (2, UpdateEvent::FetchSeen),
            (3, UpdateEvent::FetchCompleted),
            (4, UpdateEvent::FetchSeen),
            (5, report(Execution::Proceeding)),
            (6, UpdateEvent::FetchBegun),
        ];
        for (count, expected) in [
            (2, (Downloading, 61)),
            (3, (Installing, 13)),
            (4, (Installing, 13)),
            (5, (Installing, 13)),
            (6, (Downloading, 66)),
        ] {
            let options = options(Some(60), Some(10));
            assert_eq!(after(options, &events[..count]), expected, "{count}");
        }
        // A device that reported `proceeding` to another server still downloads.
        let events = [
            (1, report(Execution::Proceeding)),
            (2, UpdateEvent::FetchSeen),
        ];
        assert_eq!(
            after(options(Some(60), Some(10)), &events),
            (Downloading, 62)
        );
    }

    #[test]
    fn a_fetch_installs_nothing_of_a_download_only_update_and_none_that_is_cancelled() {
        let mut download_only = options(None, None);
        download_only.update_type = UpdateType::DownloadOnly;
        let fetched = [
            (1, UpdateEvent::FetchBegun),
            (2, UpdateEvent::FetchCompleted),
        ];
        assert_eq!(after(download_only, &fetched).0, UpdateStatus::Downloading);
        let cancelled = [
            (1, UpdateEvent::FetchBegun),
            (2, UpdateEvent::CancelRequested),
            (3, UpdateEvent::FetchCompleted),
            (4, UpdateEvent::FetchBegun),
        ];
        let (status, _) = after(options(None, None), &cancelled);
        assert_eq!(status, UpdateStatus::Cancelling);
    }
}
