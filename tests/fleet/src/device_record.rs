use std::collections::BTreeSet;

use crate::{Execution, Finished};

/// What a device remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRecord {
    /// DDI's controllerId.
    pub device_id: String,
    /// What it runs.
    pub version: String,
    /// Every version that it was ever offered.
    pub offered: BTreeSet<String>,
    /// The update that it is working on.
    pub working_on: Option<String>,
    /// Whether it dropped off for good.
    pub silent: bool,
    /// Updates that it ended well.
    pub succeeded: u32,
    /// Updates that it ended badly.
    pub failed: u32,
    /// Updates that were called back.
    pub cancelled: u32,
    /// Updates that it agreed to.
    pub confirmed: u32,
    /// How often it said no.
    pub denied: u32,
    /// Files whose bytes were not those that were announced.
    pub corrupt: u32,
    /// Polls that were answered.
    pub polls: u64,
    /// Requests that were not answered as they must be.
    pub errors: u64,
    /// The last of them.
    pub last_error: Option<String>,
    /// Every feedback that the server acknowledged.
    pub acknowledged: Vec<AcknowledgedFeedback>,
}

/// A feedback that the server answered with 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgedFeedback {
    /// DDI's action id.
    pub update: String,
    /// What the device said it does.
    pub execution: Execution,
    /// How it said it went.
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
