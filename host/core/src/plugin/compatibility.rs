use super::{Context, DeviceClass, FirmwareFacts, PageOf};

/// Input of a compatibility policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckInput {
    /// The campaign.
    pub context: Context,
    /// Firmware to check.
    pub firmware: FirmwareFacts,
    /// Which of the pages of classes this is.
    pub page: PageOf,
    /// Classes of the selected devices.
    pub classes: Vec<DeviceClass>,
    /// Config as JSON.
    pub config: String,
}

/// Verdict of a compatibility policy on one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// The firmware may be installed.
    Compatible,
    /// The firmware must not be installed, with the reason.
    Incompatible(String),
    /// Another version must be installed first.
    Needs {
        /// Version to install first.
        version: String,
        /// Reason for operators.
        reason: String,
    },
}
