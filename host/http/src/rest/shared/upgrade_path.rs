use serde::Serialize;
use tidegate_core::update::UpgradePath;
use utoipa::ToSchema;

/// The way of a device to a firmware over intermediate versions, each of which is an update of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpgradePath)]
pub(crate) struct UpgradePathBody {
    /// The firmware at its end.
    target_firmware_id: i64,
    target_version: String,
    /// The intermediate versions that updates before this one installed, in order.
    installed_versions: Vec<String>,
    /// Why the firmware of this update comes first, with the policy's name. Null: it installs the target, or policies have
    /// not decided yet.
    reason: Option<String>,
}

impl From<UpgradePath> for UpgradePathBody {
    fn from(path: UpgradePath) -> Self {
        Self {
            target_firmware_id: path.target.0,
            target_version: path.target_version,
            installed_versions: path.installed,
            reason: path.reason,
        }
    }
}
