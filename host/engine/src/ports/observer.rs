use std::time::Duration;

use tidegate_core::plugin::PluginName;

use super::CallFailure;

/// Observes the engine for metrics. Implementations must not block; nothing depends on them.
pub trait Observer: Send + Sync {
    /// A plugin was called. `call` is the name of an [`EntryKind`](super::EntryKind), `validate` or `replay`.
    fn plugin_called(
        &self,
        plugin: &PluginName,
        call: &'static str,
        failure: Option<&CallFailure>,
        fuel: u64,
        duration: Duration,
    );

    /// The database's clock was found to be this many milliseconds ahead of the server's.
    fn clock_measured(&self, _offset_ms: i64) {}

    /// The folder of plugins was scanned.
    fn plugin_folder_scanned(&self, _files: PluginFiles) {}

    /// A transaction that writes last-seen times has ended.
    fn last_seen_written(&self, _duration: Duration) {}
}

/// The components in the folder of plugins, by what became of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginFiles {
    /// Installed for every tenant.
    pub installed: u64,
    /// Refused for at least one tenant, or unreadable.
    pub refused: u64,
    /// Still changing, or not installed yet.
    pub waiting: u64,
}

/// An observer that does nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoopObserver;

impl Observer for NoopObserver {
    fn plugin_called(
        &self,
        _: &PluginName,
        _: &'static str,
        _: Option<&CallFailure>,
        _: u64,
        _: Duration,
    ) {
    }
}
