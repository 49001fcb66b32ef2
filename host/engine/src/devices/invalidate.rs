use tidegate_core::id::TenantId;

use crate::{Engine, ports::AffectedDevice};

/// Drops devices from the read model whose updates have changed: their next poll reads the store.
pub fn invalidate_affected(engine: &Engine, affected: &[AffectedDevice]) {
    for device in affected {
        engine
            .read_model
            .invalidate(device.tenant, &device.device_id);
    }
}

/// Drops a device from the read model that an operator or another server changed.
pub fn invalidate_device(engine: &Engine, tenant: TenantId, device_id: &str) {
    engine.read_model.invalidate(tenant, device_id);
}

/// Drops all cached tenants after another server changed one.
pub fn invalidate_tenants(engine: &Engine) {
    engine.auth_cache.invalidate_tenants();
}

/// Drops all cached devices and tenants, when changes of other servers may have been missed.
pub fn invalidate_all(engine: &Engine) {
    engine.auth_cache.invalidate_tenants();
    engine.read_model.invalidate_all();
}
