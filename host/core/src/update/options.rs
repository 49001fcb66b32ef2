//! Options of an update: urgency, confirmation, timeouts, maintenance window and retries.

use std::{sync::Arc, time::Duration};

use strum::{EnumDiscriminants, EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::{DeviceRefusal, RetryPolicy, UpdateStatus};
use crate::{time::Timestamp, window::MaintenanceWindow};

/// Options of a campaign's updates; stored with the campaign and with each update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateOptions {
    /// Urgency.
    pub update_type: UpdateType,
    /// Confirmation at the device; `None`: not required.
    pub confirmation: Option<Confirmation>,
    /// Timeouts of the update and its phases.
    pub timeouts: Timeouts,
    /// Maintenance window; `None`: installed at any time.
    pub window: Option<Arc<MaintenanceWindow>>,
    /// What happens when the device refuses it repeatedly.
    pub device_refusal: DeviceRefusal,
    /// Automatic retries.
    pub retries: RetryPolicy,
    /// A note of operators, not sent to devices: at most [`Self::MAX_NOTE_CHARS`] characters, none of them a control
    /// character except newline and tab.
    pub note: String,
}

/// Requires a confirmation at the device before the update starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confirmation {
    /// Effect of a denial.
    pub on_denied: OnDenied,
    /// Maximum time to wait for an answer.
    pub timeout: Duration,
}

/// Timeouts of an update. They do not run while the update waits for confirmation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the offer, or the confirmation, to the end.
    pub update: Duration,
    /// From the start to the end of the download.
    pub download: Option<Duration>,
    /// From the end of the download to the device's final report.
    pub install: Option<Duration>,
}

impl UpdateOptions {
    /// Maximum length of a note.
    pub const MAX_NOTE_CHARS: usize = 1000;

    /// A forced update with this timeout, without confirmation, window or retries.
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
            device_refusal: DeviceRefusal::default(),
            retries: RetryPolicy::NONE,
            note: String::new(),
        }
    }

    /// Status of a new update, or of a retry that is due.
    pub(super) fn first_status(&self) -> UpdateStatus {
        match self.confirmation {
            Some(_) => UpdateStatus::WaitingConfirmation,
            None => UpdateStatus::Offered,
        }
    }

    /// Options of a rollback: the same timeouts, retries, handling of a refusal and note, but forced and without
    /// confirmation or window, since a device that waited for either would keep running faulty firmware.
    #[must_use]
    pub fn for_rollback(&self) -> Self {
        Self {
            update_type: UpdateType::Forced,
            confirmation: None,
            timeouts: self.timeouts,
            device_refusal: self.device_refusal,
            retries: self.retries,
            window: None,
            note: self.note.clone(),
        }
    }
}

/// Urgency of an update, as in hawkBit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumDiscriminants)]
#[strum(serialize_all = "snake_case")]
#[strum_discriminants(
    name(UpdateTypeName),
    doc = "Name of an update type.",
    derive(Default, IntoStaticStr, EnumString, VariantArray, VariantNames),
    strum(serialize_all = "snake_case")
)]
pub enum UpdateType {
    /// Immediately.
    #[strum_discriminants(default)]
    Forced,
    /// At a time that the device or its user chooses.
    Soft,
    /// Soft until this time, then forced.
    TimeForced(Timestamp),
    /// Download immediately, do not install.
    DownloadOnly,
}

impl UpdateType {
    /// The type of this name; `forced_at` is required for `time_forced` and allowed for no other.
    pub fn new(name: UpdateTypeName, forced_at: Option<Timestamp>) -> Option<Self> {
        match (name, forced_at) {
            (UpdateTypeName::Forced, None) => Some(Self::Forced),
            (UpdateTypeName::Soft, None) => Some(Self::Soft),
            (UpdateTypeName::TimeForced, Some(at)) => Some(Self::TimeForced(at)),
            (UpdateTypeName::DownloadOnly, None) => Some(Self::DownloadOnly),
            _ => None,
        }
    }

    /// Time at which it becomes forced.
    pub fn forced_at(self) -> Option<Timestamp> {
        match self {
            Self::TimeForced(at) => Some(at),
            Self::Forced | Self::Soft | Self::DownloadOnly => None,
        }
    }

    /// True if the device installs what it downloads.
    pub fn installs(self) -> bool {
        self != Self::DownloadOnly
    }

    /// DDI handling of the download.
    pub fn download(self, now: Timestamp) -> HandlingType {
        match self {
            Self::Forced | Self::DownloadOnly => HandlingType::Forced,
            Self::TimeForced(at) if now >= at => HandlingType::Forced,
            Self::Soft | Self::TimeForced(_) => HandlingType::Attempt,
        }
    }

    /// DDI handling of the installation.
    pub fn install(self, now: Timestamp) -> HandlingType {
        if self.installs() {
            self.download(now)
        } else {
            HandlingType::Skip
        }
    }
}

/// DDI's handling type of a download or an installation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum HandlingType {
    /// Do not perform.
    Skip,
    /// Perform at the device's discretion.
    Attempt,
    /// Perform immediately.
    Forced,
}

/// Effect of a denied confirmation.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum OnDenied {
    /// The update waits for confirmation again.
    OfferAgain,
    /// The update ends as rejected.
    Reject,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Named as _;
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
            let name = update_type.as_str().parse().expect("a name");
            let read = UpdateType::new(name, update_type.forced_at());
            assert_eq!(read, Some(update_type));
        }
        for (name, forced_at) in [
            (UpdateTypeName::TimeForced, None),
            (UpdateTypeName::Soft, Some(at)),
        ] {
            assert_eq!(UpdateType::new(name, forced_at), None, "{name:?}");
        }
        assert!("hard".parse::<UpdateTypeName>().is_err());
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
            window: Some(Arc::new(window.expect("a valid window"))),
            retries: RetryPolicy {
                max_retries: 2,
                delay: minute,
            },
            note: "ticket 7".to_owned(),
            device_refusal: DeviceRefusal::Wait,
        };
        let back = options.for_rollback();
        assert_eq!(back.update_type, UpdateType::Forced);
        assert_eq!(back.confirmation, None);
        assert_eq!(
            (back.timeouts, back.retries),
            (options.timeouts, options.retries)
        );
        assert_eq!(back.window, None);
        assert_eq!(back.note, "ticket 7");
    }
}
