use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::json;
use tidegate_core::{
    device::AutoConfirm,
    id::{CampaignId, DeviceKey, TenantId},
    time::Timestamp,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::{
    Ctx,
    ports::{AutoConfirmation, RecordError, RecordedFeedback, StoreError},
};

use super::unit_of_work::UpdateUnitOfWork;
use crate::{
    SqlStore,
    audit::{self, AuditEntry},
    database::{Database, Tx},
    dialect::storable,
    error::{failed, internal},
    invalidation::notify_devices,
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
};

#[async_trait]
impl AutoConfirmation for SqlStore {
    async fn auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
    ) -> Result<Option<AutoConfirm>, StoreError> {
        read(&mut self.database.read_single().await?, tenant, device).await
    }

    async fn activate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        auto_confirm: AutoConfirm,
        by: Option<&Ctx>,
    ) -> Result<RecordedFeedback, RecordError> {
        activate(&self.database, tenant, device, &auto_confirm, by).await
    }

    async fn deactivate_auto_confirm(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        now: Timestamp,
        by: Option<&Ctx>,
    ) -> Result<(), RecordError> {
        deactivate(&self.database, tenant, device, now, by).await
    }
}

async fn read(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
) -> Result<Option<AutoConfirm>, StoreError> {
    const READ: &str = "read auto-confirm";
    let row = sqlx::query(
        "SELECT auto_confirm_at, auto_confirm_by, auto_confirm_remark FROM devices \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(device.0)
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let auto_confirm = row.as_ref().map(from_row).transpose();
    Ok(auto_confirm.map_err(row_error(READ))?.flatten())
}

/// Reads the auto-confirm columns of a device.
pub(crate) fn from_row(row: &sqlx::any::AnyRow) -> Result<Option<AutoConfirm>, RowError> {
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
    by: Option<&Ctx>,
) -> Result<RecordedFeedback, RecordError> {
    let at = auto_confirm.activated_at;
    let mut tx = database.write().await?;
    let mut work = load(&mut tx, tenant, device, at).await?;
    if work.device(device).is_some_and(|row| row.auto_confirms) {
        return Err(RecordError::AlreadyActive);
    }
    let waiting: Vec<_> = work
        .updates_of(device)
        .filter(|loaded| loaded.update.state.status == UpdateStatus::WaitingConfirmation)
        .map(|loaded| (loaded.update.id, loaded.update.campaign))
        .collect();
    let mut tenant_counters = TenantCounters::default();
    let mut campaigns: Vec<CampaignId> = Vec::new();
    for (id, campaign) in &waiting {
        work.apply_event(*id, &UpdateEvent::AutoConfirmed, at, &mut tenant_counters)?;
        campaigns.extend(campaign.map(|(campaign, _)| campaign));
    }
    let view = work.view(device).ok_or(RecordError::NotFound)?;
    let changes_device = work.changes_device(device);
    write_columns(&mut tx, tenant, device, Some(auto_confirm)).await?;
    if let Some(row) = work.device(device) {
        notify_devices(&mut tx, tenant, [row.device_id.as_str()]).await?;
        if let Some(ctx) = by {
            let before = json!({ "auto_confirm": false });
            let after = json!({ "auto_confirm": true, "remark": auto_confirm.remark });
            let action = "device.activate_auto_confirm";
            audit::record(
                &mut tx,
                ctx,
                AuditEntry::new(action, &row.device_id, before, after),
            )
            .await?;
        }
    }
    work.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(RecordedFeedback {
        changes_update: !waiting.is_empty(),
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
    by: Option<&Ctx>,
) -> Result<(), RecordError> {
    let mut tx = database.write().await?;
    // Locks the device, so that a concurrently created update is either confirmed or waits.
    let work = load(&mut tx, tenant, device, now).await?;
    write_columns(&mut tx, tenant, device, None).await?;
    if let (Some(ctx), Some(row)) = (by, work.device(device)) {
        let (before, after) = (
            json!({ "auto_confirm": row.auto_confirms }),
            json!({ "auto_confirm": false }),
        );
        let action = "device.deactivate_auto_confirm";
        audit::record(
            &mut tx,
            ctx,
            AuditEntry::new(action, &row.device_id, before, after),
        )
        .await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn load(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    now: Timestamp,
) -> Result<UpdateUnitOfWork, RecordError> {
    let (devices, updates) = (BTreeSet::from([device]), BTreeSet::new());
    let work = UpdateUnitOfWork::open(tx, tenant, &devices, &updates, now).await?;
    match work.device(device) {
        Some(_) => Ok(work),
        None => Err(RecordError::NotFound),
    }
}

async fn write_columns(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
    auto_confirm: Option<&AutoConfirm>,
) -> Result<(), StoreError> {
    const SET: &str = "write auto-confirm";
    let text = |text: Option<&String>| text.map(|text| storable(text).into_owned());
    let write_columns = sqlx::query(
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
    match write_columns.rows_affected() {
        1 => Ok(()),
        _ => Err(internal(SET)("the device does not exist".into())),
    }
}
