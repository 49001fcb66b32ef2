use std::fmt;

use strum::{IntoStaticStr, VariantNames};
use tidegate_core::{Named as _, id::UpdateId};

use crate::Error;

/// Why a firmware is not offered to a device. Its name is the code of the error.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum OfferRefusal {
    /// The device does not exist.
    #[strum(serialize = "not_found")]
    DeviceNotFound,
    /// The request names the device twice.
    #[strum(serialize = "named_twice")]
    DuplicateDevice,
    /// This open update installs the same firmware.
    #[strum(serialize = "update_open")]
    AlreadyOpen(UpdateId),
    /// The device is pinned.
    Pinned,
    /// The last completed update installed this firmware.
    AlreadyInstalled,
    /// A compatibility policy rejects the device: its name and reason.
    Incompatible(String),
    /// Other updates of the request were approved or rejected before this one was created.
    ApprovalDecided,
}

impl OfferRefusal {
    /// The error for a single device where the request accepts `force`.
    pub(super) fn into_error(self, device_id: &str) -> Error {
        match self {
            Self::DeviceNotFound => Error::not_found("device", device_id),
            _ => Error::conflict(self.as_str(), self.to_string()),
        }
    }

    /// The error where the request does not accept `force`.
    pub(super) fn into_error_without_force(self, device_id: &str) -> Error {
        let why = match &self {
            Self::Pinned => {
                "the device is pinned: unpin it, or start an update to the firmware with `force`"
            }
            Self::AlreadyInstalled => {
                "the device's last completed update installed this firmware: start an update to it with `force` to install \
                 it again"
            }
            Self::Incompatible(reason) => reason,
            _ => return self.into_error(device_id),
        };
        Error::conflict(self.as_str(), why)
    }
}

impl fmt::Display for OfferRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceNotFound => f.write_str("there is no such device"),
            Self::DuplicateDevice => f.write_str("the request names the device twice"),
            Self::AlreadyOpen(id) => write!(
                f,
                "the open update {id} already installs this firmware: cancel it first"
            ),
            Self::Pinned => f.write_str("the device is pinned; `force` overrides it"),
            Self::AlreadyInstalled => f.write_str(
                "the device's last completed update installed this firmware; `force` installs it again",
            ),
            Self::Incompatible(reason) => {
                let reason = reason.trim_end_matches('.');
                write!(f, "{reason}; `force` overrides it")
            }
            Self::ApprovalDecided => f.write_str(
                "other updates of this request were approved or rejected before this one was created: send the request \
                 again for the devices that are left",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policys_trailing_period_is_trimmed() {
        let refusal = OfferRefusal::Incompatible("hardware: It is m1.".to_owned());
        assert_eq!(
            refusal.to_string(),
            "hardware: It is m1; `force` overrides it"
        );
    }
}
