//! The order of ticks.

use quick_cache::sync::Cache;
use tidegate_core::plugin::PluginName;

use crate::{
    TenantPermit, TenantShares,
    ports::{RunRef, Store},
};

/// Maximum number of campaigns processed concurrently.
const MAX_CONCURRENT_TICKS: usize = 12;
/// Maximum number of campaigns of one tenant among them, because its plugins may be slow.
const MAX_CONCURRENT_TICKS_PER_TENANT: usize = 8;
/// Maximum number of campaigns whose strategy is kept in memory.
const MAX_STRATEGIES: usize = 10_000;

/// Turns of tenants and, within a tenant, of strategies: campaigns of a slow strategy do not delay those of another.
pub(super) struct TickTurns {
    shares: TenantShares<PluginName>,
    /// A campaign keeps its strategy once it has started; only the revision may change.
    strategies: Cache<RunRef, PluginName>,
}

impl Default for TickTurns {
    fn default() -> Self {
        Self {
            shares: TenantShares::new(MAX_CONCURRENT_TICKS, MAX_CONCURRENT_TICKS_PER_TENANT),
            strategies: Cache::new(MAX_STRATEGIES),
        }
    }
}

impl TickTurns {
    /// Waits until this campaign may be processed. The turn ends when the permit is dropped.
    pub(super) async fn wait(&self, store: &dyn Store, run: RunRef) -> TenantPermit {
        let strategy = self.strategy(store, run).await;
        self.shares.acquire(Some(run.tenant), strategy).await
    }

    /// `None`: the store cannot be read, or the campaign was deleted. Its tick will find out too.
    async fn strategy(&self, store: &dyn Store, run: RunRef) -> Option<PluginName> {
        if let Some(strategy) = self.strategies.get(&run) {
            return Some(strategy);
        }
        let campaign = store.campaign(run.tenant, run.campaign).await.ok()??;
        let strategy = campaign.spec.strategy.plugin;
        if campaign.started_at.is_some() {
            self.strategies.insert(run, strategy.clone());
        }
        Some(strategy)
    }
}
