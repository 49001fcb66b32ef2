use tidegate_core::id::TenantId;

use crate::{Engine, ports::Touched};

/// Forgets what is remembered of devices whose updates changed: their next poll reads the store.
pub fn forget(engine: &Engine, touched: &[Touched]) {
    for device in touched {
        engine.read_model.forget(device.tenant, &device.device_id);
    }
}

/// Forgets what is remembered of a device that was changed, by an operator or by another host.
pub fn forget_device(engine: &Engine, tenant: TenantId, device_id: &str) {
    engine.read_model.forget(tenant, device_id);
}

/// Forgets what is remembered of tenants: another host changed one.
pub fn forget_tenants(engine: &Engine) {
    engine.doors.forget_tenants();
}

/// Forgets what is remembered of every device and tenant: other hosts may have changed some, and nobody here knows
/// which.
pub fn forget_all(engine: &Engine) {
    engine.doors.forget_tenants();
    engine.read_model.forget_all();
}
