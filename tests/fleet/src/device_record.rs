use std::collections::BTreeSet;

use tidegate_ddi_client::{Execution, Finished};

/// The state and the counters of a simulated device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// DDI's controllerId.
    pub device_id: String,
    /// The version that it runs.
    pub version: String,
    /// All versions that it was offered.
    pub offered: BTreeSet<String>,
    /// The update in progress.
    pub working_on: Option<String>,
    /// Whether it has stopped communicating for good.
    pub silent: bool,
    /// Updates ended with success.
    pub succeeded: u32,
    /// Updates ended with failure.
    pub failed: u32,
    /// Cancelled updates.
    pub cancelled: u32,
    /// Confirmed updates.
    pub confirmed: u32,
    /// Denied confirmations.
    pub denied: u32,
    /// Files with an unexpected size or sha256.
    pub corrupt: u32,
    /// Successful polls.
    pub polls: u64,
    /// Failed requests.
    pub errors: u64,
    /// The latest of these errors.
    pub last_error: Option<String>,
    /// All feedback that the server acknowledged.
    pub acknowledged: Vec<AcknowledgedFeedback>,
}

/// Feedback that the server answered with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgedFeedback {
    /// DDI's action id.
    pub update: String,
    /// The reported `execution`.
    pub execution: Execution,
    /// The reported `finished`.
    pub finished: Finished,
}

impl DeviceRecord {
    pub(crate) fn new(device_id: String, version: String) -> Self {
        Self {
            device_id,
            version,
            offered: BTreeSet::new(),
            working_on: None,
            silent: false,
            succeeded: 0,
            failed: 0,
            cancelled: 0,
            confirmed: 0,
            denied: 0,
            corrupt: 0,
            polls: 0,
            errors: 0,
            last_error: None,
            acknowledged: Vec::new(),
        }
    }
}
