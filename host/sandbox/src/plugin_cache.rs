//! A cache of loaded plugins.

use std::collections::HashMap;

use parking_lot::Mutex;
use tidegate_core::id::Digest;

use crate::plugin::Plugin;

/// Loaded plugins by digest, with a limited capacity. The least recently used one is evicted.
pub(crate) struct PluginCache {
    capacity: usize,
    entries: Mutex<CacheEntries>,
}

#[derive(Default)]
struct CacheEntries {
    by_digest: HashMap<Digest, (Plugin, u64)>,
    /// Logical time: the number of accesses so far.
    clock: u64,
}

impl PluginCache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            entries: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, digest: Digest) -> Option<Plugin> {
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let now = entries.clock;
        let (plugin, used) = entries.by_digest.get_mut(&digest)?;
        *used = now;
        Some(plugin.clone())
    }

    pub(crate) fn insert(&self, plugin: &Plugin) {
        let mut entries = self.entries.lock();
        entries.clock += 1;
        let now = entries.clock;
        entries
            .by_digest
            .insert(plugin.digest(), (plugin.clone(), now));
        while entries.by_digest.len() > self.capacity {
            let least_recent = entries.by_digest.iter().min_by_key(|(_, (_, used))| *used);
            let Some(least_recent) = least_recent.map(|(digest, _)| *digest) else {
                return;
            };
            entries.by_digest.remove(&least_recent);
        }
    }
}
