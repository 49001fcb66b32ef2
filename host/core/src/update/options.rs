//! How an update is put to its device: how urgent it is, whether somebody is asked first, and how long it may take.

use std::{sync::Arc, time::Duration};

use super::{RetryPolicy, UpdateStatus};
use crate::{time::Timestamp, window::MaintenanceWindow};

/// How an update is put to its device. Kept on the campaign, and on each of its updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateOptions {
    /// How urgent it is.
    pub update_type: UpdateType,
    /// Who has to agree first; none: nobody is asked.
    pub confirmation: Option<Confirmation>,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// When it may be installed; none: at any time.
    pub window: Option<Arc<MaintenanceWindow>>,
    /// How often it is tried again.
    pub retries: RetryPolicy,
}

/// That somebody at the device has to agree before it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// What a "no" means.
    pub on_denied: OnDenied,
    /// How long to wait for an answer.
    pub timeout: Duration,
}

/// How long an update may take. While somebody is asked, none of them runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the offer, or from the confirmation, to the end.
    pub update: Duration,
    /// From taking it up to the last byte.
    pub download: Option<Duration>,
    /// From the last byte until the device says that it is done.
    pub install: Option<Duration>,
}

impl UpdateOptions {
    /// At once, whole within this time, tried once, and nobody is asked.
    pub fn forced(timeout: Duration) -> Self {
        Self {
            update_type: UpdateType::Forced,
            confirmation: None,
            timeouts: Timeouts {
                update: timeout,
                download: None,
                install: None,
            },
            window: None,
            retries: RetryPolicy::NONE,
        }
    }

    /// Where an update is when it is put to its device.
    pub(super) fn first_status(&self) -> UpdateStatus {
        match self.confirmation {
            Some(_) => UpdateStatus::WaitingConfirmation,
            None => UpdateStatus::Offered,
        }
    }

    /// The terms of the way back: as long as the way out and tried as often, but at once, and nobody is asked. A device
    /// that waited for somebody to agree, or for a window, would stay on a firmware that was found to be bad.
    #[must_use]
    pub fn for_rollback(&self) -> Self {
        Self {
            update_type: UpdateType::Forced,
            confirmation: None,
            timeouts: self.timeouts,
            retries: self.retries,
            window: None,
        }
    }
}

/// How urgent an update is, in the words of the device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateType {
    /// At once.
    Forced,
    /// When it suits the device, or its user.
    Soft,
    /// Soft, and forced from this time on.
    TimeForced(Timestamp),
    /// Downloaded at once and not installed.
    DownloadOnly,
}

impl UpdateType {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forced => "forced",
            Self::Soft => "soft",
            Self::TimeForced(_) => "time_forced",
            Self::DownloadOnly => "download_only",
        }
    }

    /// The type of this name. The time belongs to `time_forced`, which is none without.
    pub fn parse(text: &str, forced_at: Option<Timestamp>) -> Option<Self> {
        match (text, forced_at) {
            ("forced", None) => Some(Self::Forced),
            ("soft", None) => Some(Self::Soft),
            ("time_forced", Some(at)) => Some(Self::TimeForced(at)),
            ("download_only", None) => Some(Self::DownloadOnly),
            _ => None,
        }
    }

    /// When it becomes forced.
    pub fn forced_at(self) -> Option<Timestamp> {
        match self {
            Self::TimeForced(at) => Some(at),
            Self::Forced | Self::Soft | Self::DownloadOnly => None,
        }
    }

    /// Whether the device is to install what it downloads.
    pub fn installs(self) -> bool {
        self != Self::DownloadOnly
    }

    /// What the device is to do about downloading.
    pub fn download(self, now: Timestamp) -> HandlingType {
        match self {
            Self::Forced | Self::DownloadOnly => HandlingType::Forced,
            Self::TimeForced(at) if now >= at => HandlingType::Forced,
            Self::Soft | Self::TimeForced(_) => HandlingType::Attempt,
        }
    }

    /// What the device is to do about installing.
    pub fn install(self, now: Timestamp) -> HandlingType {
        if self.installs() {
            self.download(now)
        } else {
            HandlingType::Skip
        }
    }
}

/// What a device is to do, in the words of the device API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlingType {
    /// Nothing.
    Skip,
    /// As it, or its user, sees fit.
    Attempt,
    /// At once.
    Forced,
}

impl HandlingType {
    /// Its word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::Attempt => "attempt",
            Self::Forced => "forced",
        }
    }
}

/// What a "no" means for an update that somebody has to agree to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDenied {
    /// Not now: it stays on offer.
    OfferAgain,
    /// Never: it ends as rejected.
    Reject,
}

impl OnDenied {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OfferAgain => "offer_again",
            Self::Reject => "reject",
        }
    }

    /// The answer of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::OfferAgain, Self::Reject]
            .into_iter()
            .find(|answer| answer.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::WindowSpec;

    #[test]
    fn update_types_map_to_download_and_install_handling() {
        use HandlingType as H;
        use UpdateType as T;
        let forced_time = Timestamp(12);
        for (update_type, now, download, install) in [
            (T::Forced, 0, H::Forced, H::Forced),
            (T::Soft, 99, H::Attempt, H::Attempt),
            (T::TimeForced(forced_time), 11, H::Attempt, H::Attempt),
            (T::TimeForced(forced_time), 12, H::Forced, H::Forced),
            (T::DownloadOnly, 0, H::Forced, H::Skip),
        ] {
            let now = Timestamp(now);
            let actual = (update_type.download(now), update_type.install(now));
            assert_eq!(actual, (download, install), "{update_type:?} at {now:?}");
        }
    }

    #[test]
    fn update_types_round_trip() {
        let at = Timestamp(7);
        for update_type in [
            UpdateType::Forced,
            UpdateType::Soft,
            UpdateType::TimeForced(at),
            UpdateType::DownloadOnly,
        ] {
            let read = UpdateType::parse(update_type.as_str(), update_type.forced_at());
            assert_eq!(read, Some(update_type));
        }
        for (text, forced_at) in [("time_forced", None), ("soft", Some(at)), ("hard", None)] {
            assert_eq!(UpdateType::parse(text, forced_at), None, "{text}");
        }
    }

    #[test]
    fn rollbacks_need_no_confirmation() {
        let minute = Duration::from_mins(1);
        let window = MaintenanceWindow::new(WindowSpec {
            schedule: "0 1 * * *".to_owned(),
            duration: minute,
            timezone: "UTC".to_owned(),
            prefetch: false,
        });
        let options = UpdateOptions {
            update_type: UpdateType::DownloadOnly,
            confirmation: Some(Confirmation {
                on_denied: OnDenied::Reject,
                timeout: minute,
            }),
            timeouts: Timeouts {
                update: minute * 9,
                download: Some(minute),
                install: None,
            },
            window: Some(Arc::new(window.expect("a good window"))),
            retries: RetryPolicy {
                max_retries: 2,
                delay: minute,
            },
        };
        let back = options.for_rollback();
        assert_eq!(back.update_type, UpdateType::Forced);
        assert_eq!(back.confirmation, None);
        assert_eq!(
            (back.timeouts, back.retries),
            (options.timeouts, options.retries)
        );
        assert_eq!(back.window, None, "nor does it wait");
    }
}
