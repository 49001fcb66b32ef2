//! What a tenant sets for itself. What it leaves open is the server's default.

use crate::{access::AccessSettings, plugin::FieldError, polling::PollingSettings};

/// Everything that a tenant may set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantSettings {
    /// How often its devices are to poll.
    pub polling: PollingSettings,
    /// Who is let in as its devices.
    pub access: AccessSettings,
    /// Whether it is kept from which address each of them asks.
    pub track_address: bool,
}

impl TenantSettings {
    /// Every rule that is broken; the paths are JSON pointers.
    pub fn validation_errors(&self) -> Vec<FieldError> {
        let parts = [
            ("/polling", self.polling.validation_errors()),
            ("/access", self.access.validation_errors()),
        ];
        let parts = parts.into_iter();
        parts
            .flat_map(|(part, errors)| {
                errors.into_iter().map(move |error| FieldError {
                    path: format!("{part}{}", error.path),
                    ..error
                })
            })
            .collect()
    }
}
