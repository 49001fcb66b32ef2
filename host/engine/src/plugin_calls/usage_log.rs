use std::collections::HashMap;

use parking_lot::Mutex;
use tidegate_core::id::{Digest, TenantId};

use crate::ports::Usage;

/// Plugin usage that is not written yet.
#[derive(Default)]
pub(super) struct UsageLog(Mutex<HashMap<(TenantId, Digest), Usage>>);

impl UsageLog {
    pub(super) fn add(&self, tenant: TenantId, plugin: Digest, more: Usage) {
        let mut log = self.0.lock();
        let usage = log.entry((tenant, plugin)).or_default();
        usage.calls += more.calls;
        usage.failures += more.failures;
        usage.fuel += more.fuel;
        usage.peak_memory = usage.peak_memory.max(more.peak_memory);
    }

    pub(super) fn take(&self) -> HashMap<TenantId, Vec<(Digest, Usage)>> {
        let taken = std::mem::take(&mut *self.0.lock());
        let mut by_tenant: HashMap<_, Vec<_>> = HashMap::new();
        for ((tenant, plugin), usage) in taken {
            by_tenant.entry(tenant).or_default().push((plugin, usage));
        }
        by_tenant
    }
}
