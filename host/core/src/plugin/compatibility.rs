use super::{Context, DeviceClass, FirmwareFacts};

/// What a compatibility policy is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckInput {
    /// The campaign.
    pub context: Context,
    /// What would be installed.
    pub firmware: FirmwareFacts,
    /// What it would be installed on.
    pub classes: Vec<DeviceClass>,
    /// JSON.
    pub config: String,
}

/// A compatibility policy's verdict on one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compatibility {
    /// May be installed.
    Compatible,
    /// Must not be installed, and why.
    Incompatible(String),
    /// Another version must come first.
    Needs {
        /// That version.
        version: String,
        /// Why.
        reason: String,
    },
}
