use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::wave::Bucket;

/// Status of an update.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum UpdateStatus {
    /// Waits until another user than its creator approves it.
    WaitingApproval,
    /// A retry that is not due yet, or an update whose device is checked again before it is offered.
    Scheduled,
    /// Waits for confirmation at the device.
    WaitingConfirmation,
    /// Offered, not started.
    Offered,
    /// Started.
    Downloading,
    /// Downloaded, or installing.
    Installing,
    /// Success reported; the success criteria are not met yet.
    Verifying,
    /// Cancellation requested; the device has not acknowledged it.
    Cancelling,
    /// Succeeded.
    Completed,
    /// The device reported a failure.
    Failed,
    /// A deadline passed.
    TimedOut,
    /// Cancelled before it completed.
    Cancelled,
    /// Denied at the device.
    Rejected,
}

impl UpdateStatus {
    /// Counter group of the device.
    pub fn bucket(self) -> Bucket {
        match self {
            Self::WaitingApproval | Self::Scheduled | Self::WaitingConfirmation | Self::Offered => {
                Bucket::Offered
            }
            Self::Downloading | Self::Installing | Self::Verifying | Self::Cancelling => {
                Bucket::InProgress
            }
            Self::Completed => Bucket::Completed,
            Self::Failed => Bucket::Failed,
            Self::TimedOut => Bucket::TimedOut,
            Self::Cancelled => Bucket::Cancelled,
            Self::Rejected => Bucket::Rejected,
        }
    }

    /// True unless the status is final.
    pub fn is_open(self) -> bool {
        matches!(self.bucket(), Bucket::Offered | Bucket::InProgress)
    }

    /// True while the device may download, install or refuse the update.
    pub(super) fn is_actionable(self) -> bool {
        matches!(self, Self::Offered | Self::Downloading | Self::Installing)
    }

    /// True if the device is shown the update. It is not while it verifies (the device has nothing left to do), while a
    /// retry is not due, or before it is approved.
    pub fn is_offered_to_device(self) -> bool {
        let is_hidden = matches!(
            self,
            Self::Verifying | Self::Scheduled | Self::WaitingApproval
        );
        self.is_open() && !is_hidden
    }
}
