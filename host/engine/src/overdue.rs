//! Which devices of a tenant are overdue.

use std::time::Duration;

use tidegate_core::{
    device::{Device, DeviceState},
    id::TenantId,
    time::Timestamp,
};

use crate::{
    Caches, Result,
    ports::{OverdueRule, Store, Tenant},
};

/// How much later than after its time a device becomes overdue: other servers of the database have written its last poll
/// by then.
const WRITE_DELAY: Duration = Duration::from_secs(10);

/// The overdue devices of a tenant; `None`: the tenant has set no time. To be asked before the devices are read, so that
/// a poll whose time is written meanwhile is not missed.
pub(crate) async fn overdue(
    store: &dyn Store,
    caches: &Caches,
    tenant: TenantId,
    now: Timestamp,
) -> Result<Option<OverdueRule>> {
    let tenant = store.tenant_by_id(tenant).await?;
    Ok(tenant.and_then(|tenant| overdue_of(&tenant, caches, now)))
}

/// Like [`overdue`], for a tenant that was read already.
pub(crate) fn overdue_of(tenant: &Tenant, caches: &Caches, now: Timestamp) -> Option<OverdueRule> {
    let after = tenant.settings.overdue_after? + WRITE_DELAY;
    let before = Timestamp(now.0 - after.as_millis() as i64);
    Some(OverdueRule {
        before,
        seen: caches.last_seen.unwritten_since(tenant.id, before),
    })
}

/// The device as operators see it: with the state `overdue` if it is, and with a stable version after a calm hour.
pub(crate) fn shown(mut device: Device, overdue: Option<&OverdueRule>, now: Timestamp) -> Device {
    device.unstable_version_until = device.unstable_version_until.filter(|until| now < *until);
    if overdue.is_some_and(|overdue| overdue.includes(&device)) {
        device.state = DeviceState::Overdue;
    }
    device
}
