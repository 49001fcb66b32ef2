use std::time::Duration;

use super::CallFailure;

/// Follows what the engine does, for metrics. It must not block; nothing depends on it.
pub trait Observer: Send + Sync {
    /// A plugin was called: for what the journal keeps by the name of its [`EntryKind`](super::EntryKind), else
    /// `validate` or `replay`.
    fn plugin_called(
        &self,
        plugin: &str,
        call: &'static str,
        failure: Option<&CallFailure>,
        fuel: u64,
        duration: Duration,
    );
}

/// Nobody is watching.
#[derive(Debug, Clone, Copy)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn plugin_called(
        &self,
        _: &str,
        _: &'static str,
        _: Option<&CallFailure>,
        _: u64,
        _: Duration,
    ) {
    }
}
