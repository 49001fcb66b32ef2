use crate::wave::Bucket;

/// Where an update is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UpdateStatus {
    /// Tried before; waits until it is offered again.
    Scheduled,
    /// Somebody at the device has to agree first.
    WaitingConfirmation,
    /// The device has not taken it up.
    Offered,
    /// Taken up.
    Downloading,
    /// Downloaded, or being installed.
    Installing,
    /// The device says it is done; the proof is outstanding.
    Verifying,
    /// Called back; the device has yet to agree.
    Cancelling,
    /// Done.
    Completed,
    /// The device said that it failed.
    Failed,
    /// The device was silent for too long.
    TimedOut,
    /// Called back in time.
    Cancelled,
    /// Somebody at the device said no.
    Rejected,
}

impl UpdateStatus {
    pub(super) const ALL: [Self; 12] = [
        Self::Scheduled,
        Self::WaitingConfirmation,
        Self::Offered,
        Self::Downloading,
        Self::Installing,
        Self::Verifying,
        Self::Cancelling,
        Self::Completed,
        Self::Failed,
        Self::TimedOut,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::WaitingConfirmation => "waiting_confirmation",
            Self::Offered => "offered",
            Self::Downloading => "downloading",
            Self::Installing => "installing",
            Self::Verifying => "verifying",
            Self::Cancelling => "cancelling",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

    /// The status of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }

    /// Where its device is counted.
    pub fn bucket(self) -> Bucket {
        match self {
            Self::Scheduled | Self::WaitingConfirmation | Self::Offered => Bucket::Offered,
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

    /// Whether it has yet to come to an end.
    pub fn is_open(self) -> bool {
        matches!(self.bucket(), Bucket::Offered | Bucket::InProgress)
    }

    /// Whether the device is still shown it: a device that waits to prove itself has nothing left to do, and one that
    /// waits for the next try nothing yet.
    pub fn is_offered_to_device(self) -> bool {
        self.is_open() && !matches!(self, Self::Verifying | Self::Scheduled)
    }
}
