use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All that is not unreserved in RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The path of the root resource of a device.
pub fn root_path(tenant: &str, device_id: &str) -> String {
    let encode = |name| utf8_percent_encode(name, ENCODED);
    format!("/{}/controller/v1/{}", encode(tenant), encode(device_id))
}

/// A resource below the root resource of a device. Updates are named by their ids. It is shown as a relative path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the device API")]
pub enum Resource<'a> {
    ConfigData,
    DeploymentBase(&'a str),
    DeploymentFeedback(&'a str),
    CancelAction(&'a str),
    CancelFeedback(&'a str),
    /// The state of automatic confirmation.
    Confirmations,
    ConfirmationBase(&'a str),
    ConfirmationFeedback(&'a str),
    ActivateAutoConfirm,
    DeactivateAutoConfirm,
    /// Where a device reports what it has installed by other means.
    InstalledReport,
    InstalledBase(&'a str),
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigData => f.write_str("configData"),
            Self::DeploymentBase(update) => write!(f, "deploymentBase/{update}"),
            Self::DeploymentFeedback(update) => write!(f, "deploymentBase/{update}/feedback"),
            Self::CancelAction(update) => write!(f, "cancelAction/{update}"),
            Self::CancelFeedback(update) => write!(f, "cancelAction/{update}/feedback"),
            Self::Confirmations => f.write_str("confirmationBase"),
            Self::ConfirmationBase(update) => write!(f, "confirmationBase/{update}"),
            Self::ConfirmationFeedback(update) => write!(f, "confirmationBase/{update}/feedback"),
            Self::ActivateAutoConfirm => f.write_str("confirmationBase/activateAutoConfirm"),
            Self::DeactivateAutoConfirm => f.write_str("confirmationBase/deactivateAutoConfirm"),
            Self::InstalledReport => f.write_str("installedBase"),
            Self::InstalledBase(update) => write!(f, "installedBase/{update}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_in_paths() {
        for (id, path) in [
            ("edge-1.a_b~c", "/T/controller/v1/edge-1.a_b~c"),
            ("a/b?c#d%20", "/T/controller/v1/a%2Fb%3Fc%23d%2520"),
            ("ж", "/T/controller/v1/%D0%B6"),
        ] {
            assert_eq!(root_path("T", id), path);
        }
    }
}
