use std::collections::BTreeSet;

use async_trait::async_trait;
use tidegate_core::{
    device::AutoConfirm,
    id::{CampaignId, DeviceKey, TenantId},
    time::Timestamp,
    update::{Event, UpdateStatus},
};
use tidegate_engine::ports::{Consents, RecordError, Recorded, StoreError};

use super::ledger::Ledger;
use crate::{
    SqlStore,
    changes::announce,
    database::{Database, Tx},
    dialect::storable,
    error::{failed, internal},
    rows::{BadRow, Columns as _, bad_row},
    tallies::Tallies,
};

#[async_trait]
impl Consents for SqlStore {
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError> {
        read(&mut self.database.once().await?, tenant, device).await
    }

    async fn activate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        auto_confirm: AutoConfirm,
    ) -> Result<Recorded, RecordError> {
        activate(&self.database, tenant, device, &auto_confirm).await
    }

    async fn deactivate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        now: Timestamp,
    ) -> Result<(), RecordError> {
        deactivate(&self.database, tenant, device, now).await
    }
}

async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
) -> Result<Option<AutoConfirm>, StoreError> {
    const READ: &str = "read who confirms";
    let row = sqlx::query(
        "SELECT auto_confirm_at, auto_confirm_by, auto_confirm_remark FROM devices \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(device.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let auto_confirm = row.as_ref().map(of_row).transpose();
    Ok(auto_confirm.map_err(bad_row(READ))?.flatten())
}

/// Who agreed beforehand, from a device's row.
pub(crate) fn of_row(row: &sqlx::any::AnyRow) -> Result<Option<AutoConfirm>, BadRow> {
    let Some(at) = row.take::<Option<i64>>("auto_confirm_at")? else {
        return Ok(None);
    };
    Ok(Some(AutoConfirm {
        initiator: row.take("auto_confirm_by")?,
        remark: row.take("auto_confirm_remark")?,
        activated_at: Timestamp(at),
    }))
}

async fn activate(
    database: &Database,
    tenant: TenantId,
    device: DeviceKey,
    auto_confirm: &AutoConfirm,
) -> Result<Recorded, RecordError> {
    let at = auto_confirm.activated_at;
    let mut tx = database.write().await?;
    let mut ledger = open(&mut tx, tenant, device, at).await?;
    if ledger.device(device).is_some_and(|row| row.auto_confirms) {
        return Err(RecordError::AlreadyActive);
    }
    let waiting: Vec<_> = ledger
        .of_device(device)
        .filter(|entry| entry.update.progress.status == UpdateStatus::WaitingConfirmation)
        .map(|entry| (entry.update.id, entry.update.campaign))
        .collect();
    let mut tallies = Tallies::default();
    let mut campaigns: Vec<CampaignId> = Vec::new();
    for (id, campaign) in &waiting {
        ledger.step(*id, &Event::AutoConfirmed, at, &mut tallies)?;
        campaigns.extend(campaign.map(|(campaign, _)| campaign));
    }
    let view = ledger.view(device).ok_or(RecordError::NotFound)?;
    let changes_device = ledger.changes_device(device);
    set(&mut tx, tenant, device, Some(auto_confirm)).await?;
    if let Some(row) = ledger.device(device) {
        announce(&mut tx, tenant, [row.device_id.as_str()]).await?;
    }
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(Recorded {
        moved: !waiting.is_empty(),
        campaigns,
        changes_device,
        view,
    })
}

async fn deactivate(
    database: &Database,
    tenant: TenantId,
    device: DeviceKey,
    now: Timestamp,
) -> Result<(), RecordError> {
    let mut tx = database.write().await?;
    // Under the device's lock: an update that is made at this moment either is agreed to or waits.
    open(&mut tx, tenant, device, now).await?;
    set(&mut tx, tenant, device, None).await?;
    tx.commit().await?;
    Ok(())
}

async fn open(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    now: Timestamp,
) -> Result<Ledger, RecordError> {
    let (devices, updates) = (BTreeSet::from([device]), BTreeSet::new());
    let ledger = Ledger::open(tx, tenant, &devices, &updates, now).await?;
    match ledger.device(device) {
        Some(_) => Ok(ledger),
        None => Err(RecordError::NotFound),
    }
}

async fn set(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    auto_confirm: Option<&AutoConfirm>,
) -> Result<(), StoreError> {
    const SET: &str = "set who confirms";
    let text = |text: Option<&String>| text.map(|text| storable(text).into_owned());
    let set = sqlx::query(
        "UPDATE devices SET auto_confirm_at = $3, auto_confirm_by = $4, auto_confirm_remark = $5 \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(device.0)
    .bind(auto_confirm.map(|it| it.activated_at.0))
    .bind(text(auto_confirm.and_then(|it| it.initiator.as_ref())))
    .bind(text(auto_confirm.and_then(|it| it.remark.as_ref())))
    .execute(tx.conn())
    .await
    .map_err(failed(SET))?;
    match set.rows_affected() {
        1 => Ok(()),
        _ => Err(internal(SET)("the device is not there".into())),
    }
}
