//! Settings of a tenant; unset values fall back to the server's defaults.

use crate::{access::AccessSettings, plugin::FieldError, polling::PollingSettings};

/// All settings of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantSettings {
    /// Polling intervals.
    pub polling: PollingSettings,
    /// Device authentication.
    pub access: AccessSettings,
    /// Stores the network address of each device's last request.
    pub track_address: bool,
}

impl TenantSettings {
    /// All broken rules; paths have the names of the fields, separated by dots.
    pub fn validation_errors(&self) -> Vec<FieldError> {
        let parts = [
            ("polling", self.polling.validation_errors()),
            ("access", self.access.validation_errors()),
        ];
        let parts = parts.into_iter();
        parts
            .flat_map(|(part, errors)| {
                errors.into_iter().map(move |error| FieldError {
                    path: format!("{part}.{}", error.path),
                    ..error
                })
            })
            .collect()
    }
}
