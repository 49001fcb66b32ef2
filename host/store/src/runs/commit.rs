use tidegate_core::id::DeviceKey;
use tidegate_engine::ports::{AffectedDevice, RunRef, StoreError};

use crate::{
    database::Tx,
    tenant_counters::TenantCounters,
    updates::unit_of_work::{UpdateUnitOfWork, notify_affected_devices},
};

/// Writes a batch of a campaign, notifies other servers about these devices, and commits. Returns the devices.
pub(super) async fn commit(
    mut tx: Tx,
    run: RunRef,
    work: UpdateUnitOfWork,
    mut tenant_counters: TenantCounters,
    devices: impl IntoIterator<Item = DeviceKey>,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let affected: Vec<_> = devices
        .into_iter()
        .filter_map(|key| work.affected(key, Some(run.campaign)))
        .collect();
    notify_affected_devices(&mut tx, &affected).await?;
    work.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(affected)
}
