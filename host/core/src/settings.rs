//! What a tenant sets for itself. What it leaves open is the server's default.

use crate::{plugin::FieldError, polling::Polling};

/// Everything that a tenant may set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TenantSettings {
    /// How often its devices are to poll.
    pub polling: Polling,
}

impl TenantSettings {
    /// Every rule that is broken; the paths are JSON pointers.
    pub fn broken_rules(&self) -> Vec<FieldError> {
        let polling = self.polling.broken_rules();
        polling
            .into_iter()
            .map(|error| FieldError {
                path: format!("/polling{}", error.path),
                ..error
            })
            .collect()
    }
}
