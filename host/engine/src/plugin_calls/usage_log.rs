use std::collections::HashMap;

use parking_lot::Mutex;
use tidegate_core::id::{Digest, TenantId};

use crate::ports::Usage;

/// Plugin usage that is not written yet.
#[derive(Default)]
pub(super) struct UsageLog(Mutex<HashMap<(TenantId, Digest), Usage>>);

impl UsageLog {
    pub(super) fn add(&self, tenant: TenantId, plugin: Digest, has_failed: bool, fuel: u64) {
        let mut log = self.0.lock();
        let usage = log.entry((tenant, plugin)).or_default();
        usage.calls += 1;
        usage.failures += u64::from(has_failed);
        usage.fuel += fuel;
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
