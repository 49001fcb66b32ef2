use crate::{Engine, ports::Touched};

/// Forgets what is remembered of devices whose updates changed: their next poll reads the store.
pub fn forget(engine: &Engine, touched: &[Touched]) {
    for device in touched {
        engine.read_model.forget(device.tenant, &device.device_id);
    }
}
