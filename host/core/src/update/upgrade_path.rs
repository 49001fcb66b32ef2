//! Upgrade paths of devices that have to install intermediate versions before the firmware that they are to get.

use crate::{id::FirmwareId, version::is_same};

/// Maximum number of intermediate versions that a device installs before a firmware.
pub const MAX_INTERMEDIATE_VERSIONS: usize = 8;

/// Error code of an update that ended because policies need an intermediate version again, or too many of them.
pub const NO_UPGRADE_PATH: &str = "NO_UPGRADE_PATH";

/// The path of a device to a firmware over intermediate versions, as of one update on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpgradePath {
    /// The firmware at its end.
    pub target: FirmwareId,
    /// Version of that firmware.
    pub target_version: String,
    /// The intermediate versions that updates before this one installed, in order.
    pub installed: Vec<String>,
    /// Why this update's firmware comes first, with the policy's name; `None`: it installs the target, or policies have not
    /// decided yet.
    pub reason: Option<String>,
}

/// Firmware of an intermediate version, and why it comes first, with the policy's name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the columns")]
pub struct IntermediateFirmware {
    pub firmware: FirmwareId,
    pub version: String,
    pub reason: String,
}

impl UpgradePath {
    /// Why this intermediate version cannot be the next one of the path.
    pub fn refuse(&self, next: &IntermediateFirmware) -> Option<String> {
        let (target, version) = (&self.target_version, &next.version);
        let reason = next.reason.trim_end_matches('.');
        let installed = self.installed.join(", ");
        if self.installed.iter().any(|before| is_same(before, version)) {
            return Some(format!(
                "policies need {version} before {target}, but the device has installed it already ({installed}): \
                 {reason}. Correct the policy, then update the device again"
            ));
        }
        (self.installed.len() >= MAX_INTERMEDIATE_VERSIONS).then(|| {
            format!(
                "policies need {version} before {target}, after {MAX_INTERMEDIATE_VERSIONS} intermediate versions \
                 ({installed}): {reason}. Correct the policy, then update the device again"
            )
        })
    }
}
