use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use tidegate_core::id::DeviceKey;
use tokio::sync::{Notify, broadcast, watch};

use crate::ports::RunRef;

/// Wakes loops and watchers. A signal says only that there is something to see; who is woken reads the state again.
pub struct Signals {
    woken: Mutex<HashSet<RunRef>>,
    wake: Notify,
    changes: broadcast::Sender<RunRef>,
    logs: broadcast::Sender<DeviceKey>,
    stop: watch::Sender<bool>,
}

impl Default for Signals {
    fn default() -> Self {
        Self {
            woken: Mutex::default(),
            wake: Notify::new(),
            changes: broadcast::channel(1024).0,
            logs: broadcast::channel(1024).0,
            stop: watch::Sender::new(false),
        }
    }
}

impl Signals {
    /// A campaign has something to look at: its counters moved or an operator acted.
    pub fn wake_campaign(&self, run: RunRef) {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(run);
        self.wake.notify_one();
        self.notify_watchers(run);
    }

    /// A campaign has something new to show. Nobody watching is fine.
    pub fn notify_watchers(&self, run: RunRef) {
        let _ = self.changes.send(run);
    }

    /// Follows what campaigns have to show. A slow follower misses signals, which it must take as "look again".
    pub fn watch(&self) -> broadcast::Receiver<RunRef> {
        self.changes.subscribe()
    }

    /// The log of a device's update has something new to show, or the update moved. Nobody watching is fine.
    pub(crate) fn notify_log_watchers(&self, device: DeviceKey) {
        let _ = self.logs.send(device);
    }

    /// Follows what logs have to show. A slow follower misses signals, which it must take as "look again".
    pub fn watch_logs(&self) -> broadcast::Receiver<DeviceKey> {
        self.logs.subscribe()
    }

    /// The host stops: the loop of campaigns begins nothing more, ends what it has begun, and returns.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when the host stops, at once if it already does.
    pub(crate) async fn stopped(&self) {
        // The sender lives as long as we do, so this fails never.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// The campaigns that moved since the last call.
    pub(crate) fn take_woken(&self) -> Vec<RunRef> {
        self.woken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .drain()
            .collect()
    }

    /// Returns when a campaign moved, at once if one did since the last call.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}
