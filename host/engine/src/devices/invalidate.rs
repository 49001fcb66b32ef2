use tidegate_core::id::TenantId;

use crate::{Engine, ports::AffectedDevice};

/// Forgets what is remembered of devices whose updates changed: their next poll reads the store.
pub fn invalidate_affected(engine: &Engine, affected: &[AffectedDevice]) {
    for device in affected {
        engine
            .read_model
            .invalidate(device.tenant, &device.device_id);
    }
}

/// Forgets what is remembered of a device that was changed, by an operator or by another host.
pub fn invalidate_device(engine: &Engine, tenant: TenantId, device_id: &str) {
    engine.read_model.invalidate(tenant, device_id);
}

/// Forgets what is remembered of tenants: another host changed one.
pub fn invalidate_tenants(engine: &Engine) {
    engine.auth_cache.invalidate_tenants();
}

/// Forgets what is remembered of every device and tenant: other hosts may have changed some, and nobody here knows
/// which.
pub fn invalidate_all(engine: &Engine) {
    engine.auth_cache.invalidate_tenants();
    engine.read_model.invalidate_all();
}
