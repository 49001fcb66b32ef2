use std::fmt;

use tidegate_core::id::UpdateId;

use crate::Error;

/// Why a device was not offered a firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OfferRefusal {
    /// There is no such device.
    DeviceNotFound,
    /// It was named before.
    DuplicateDevice,
    /// This update brings it the same firmware, and is open.
    AlreadyOpen(UpdateId),
    /// It is pinned.
    Pinned,
    /// Its last completed update brought it this firmware.
    AlreadyInstalled,
    /// A compatibility policy says no: its name, and why.
    Incompatible(String),
}

impl OfferRefusal {
    /// Stable, for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::DeviceNotFound => "not_found",
            Self::DuplicateDevice => "named_twice",
            Self::AlreadyOpen(_) => "update_open",
            Self::Pinned => "pinned",
            Self::AlreadyInstalled => "already_installed",
            Self::Incompatible(_) => "incompatible",
        }
    }

    /// The error that it is where only one device was named, and `force` can be said.
    pub(super) fn into_error(self, device_id: &str) -> Error {
        match self {
            Self::DeviceNotFound => Error::not_found("device", device_id),
            _ => Error::conflict(self.code(), self.to_string()),
        }
    }

    /// The same where it cannot be said.
    pub(super) fn into_error_without_force(self, device_id: &str) -> Error {
        let why = match &self {
            Self::Pinned => {
                "the device is pinned: unpin it, or start an update of the firmware with `force`"
            }
            Self::AlreadyInstalled => {
                "the device's last completed update brought it this firmware: start an update of it with `force` to bring \
                 it again"
            }
            Self::Incompatible(reason) => reason,
            _ => return self.into_error(device_id),
        };
        Error::conflict(self.code(), why)
    }
}

impl fmt::Display for OfferRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeviceNotFound => f.write_str("there is no such device"),
            Self::DuplicateDevice => f.write_str("the device was named before"),
            Self::AlreadyOpen(id) => write!(
                f,
                "update {id} brings the device this firmware already, and is open: cancel it first"
            ),
            Self::Pinned => f.write_str("the device is pinned; `force` goes past it"),
            Self::AlreadyInstalled => f.write_str(
                "the device's last completed update brought it this firmware; `force` brings it again",
            ),
            Self::Incompatible(reason) => {
                let reason = reason.trim_end_matches('.');
                write!(f, "{reason}; `force` goes past it")
            }
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
            "hardware: It is m1; `force` goes past it"
        );
    }
}
