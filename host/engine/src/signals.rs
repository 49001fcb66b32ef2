use std::collections::HashSet;

use parking_lot::Mutex;
use tidegate_core::id::DeviceKey;
use tokio::sync::{Notify, broadcast, watch};

use crate::ports::RunRef;

/// Wakes loops and watchers. A signal carries no data; the receiver reads the state again.
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
    /// A campaign needs a tick: its counters changed or an operator acted. Also notifies its watchers.
    pub fn wake_campaign(&self, run: RunRef) {
        self.woken.lock().insert(run);
        self.wake.notify_one();
        self.notify_watchers(run);
    }

    /// A campaign changed visibly.
    pub fn notify_watchers(&self, run: RunRef) {
        let _ = self.changes.send(run);
    }

    /// Subscribes to changes of campaigns. A slow receiver loses signals; it must treat a loss as a change of any
    /// campaign.
    pub fn watch(&self) -> broadcast::Receiver<RunRef> {
        self.changes.subscribe()
    }

    /// The log of a device's update grew, or the update changed.
    pub(crate) fn notify_log_watchers(&self, device: DeviceKey) {
        let _ = self.logs.send(device);
    }

    /// Subscribes to changes of logs. A slow receiver loses signals; it must treat a loss as a change of any log.
    pub fn watch_logs(&self) -> broadcast::Receiver<DeviceKey> {
        self.logs.subscribe()
    }

    /// The server stops: the campaign loop starts no more ticks, finishes the running ones, and returns.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Returns when the server stops, or immediately if it is stopping already.
    pub(crate) async fn stopped(&self) {
        // Cannot fail: the sender lives as long as `self`.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// The campaigns woken since the last call.
    pub(crate) fn take_woken(&self) -> Vec<RunRef> {
        self.woken.lock().drain().collect()
    }

    /// Returns when a campaign is woken, or immediately if one was woken since the last call.
    pub(crate) async fn wait_for_wake(&self) {
        self.wake.notified().await;
    }
}
