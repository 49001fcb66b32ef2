use std::time::Duration;

use super::{CallFailure, EntryKind};

/// Follows what the engine does, for metrics. It must not block; nothing depends on it.
pub trait Observer: Send + Sync {
    /// A plugin was called.
    fn plugin_called(
        &self,
        plugin: &str,
        call: EntryKind,
        failure: Option<&CallFailure>,
        fuel: u64,
        duration: Duration,
    );
}

/// Nobody is watching.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn plugin_called(&self, _: &str, _: EntryKind, _: Option<&CallFailure>, _: u64, _: Duration) {}
}
