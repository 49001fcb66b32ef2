//! The loaded plugins. What is not among them is loaded from the cache of compiled code.

use quick_cache::{Weighter, sync::Cache};
use tidegate_core::id::Digest;

use crate::plugin::Plugin;

/// The plugins that were used most, bounded by their number and by the size of their code.
pub(crate) struct PluginCache(Cache<Digest, LoadedPlugin, CodeWeighter>);

#[derive(Clone)]
struct LoadedPlugin {
    plugin: Plugin,
    code_bytes: u64,
}

/// Weighs a plugin by its code, and at least so much that the number of plugins is bounded too.
#[derive(Clone)]
struct CodeWeighter {
    min_weight: u64,
}

impl Weighter<Digest, LoadedPlugin> for CodeWeighter {
    fn weight(&self, _: &Digest, loaded: &LoadedPlugin) -> u64 {
        loaded.code_bytes.max(self.min_weight)
    }
}

impl PluginCache {
    pub(crate) fn new(max_plugins: usize, max_code_bytes: u64) -> Self {
        let max_plugins = max_plugins.max(1);
        let min_weight = (max_code_bytes / max_plugins as u64).max(1);
        let weighter = CodeWeighter { min_weight };
        Self(Cache::with_weighter(max_plugins, max_code_bytes, weighter))
    }

    pub(crate) fn get(&self, digest: Digest) -> Option<Plugin> {
        self.0.get(&digest).map(|loaded| loaded.plugin)
    }

    /// Adds a plugin; one whose code is larger than all that is kept is not.
    pub(crate) fn insert(&self, digest: Digest, plugin: Plugin, code_bytes: u64) {
        self.0.insert(digest, LoadedPlugin { plugin, code_bytes });
    }

    pub(crate) fn remove(&self, digest: Digest) {
        self.0.remove(&digest);
    }
}
