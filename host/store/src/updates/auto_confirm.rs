use serde_json::json;
use tidegate_core::{
    device::AutoConfirm,
    id::{DeviceKey, TenantId},
    time::Timestamp,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{DeviceReport, RecordError, StoreError};

use super::{
    effects::{Effects, RecordOutcome},
    unit_of_work::UpdateUnitOfWork,
};
use crate::{
    audit::{self, AuditEntry},
    database::Tx,
    dialect::storable,
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
};

pub(crate) async fn read(
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

/// Confirms the device's waiting updates, and marks the device so that later ones are confirmed.
pub(super) async fn activate(
    tx: &mut Tx,
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
    auto_confirm: &AutoConfirm,
    tenant_counters: &mut TenantCounters,
) -> RecordOutcome {
    let device = work.device(report.device).ok_or(RecordError::NotFound)?;
    if device.auto_confirms {
        return Err(RecordError::AlreadyActive);
    }
    let waiting: Vec<_> = work
        .updates_of(report.device)
        .filter(|loaded| loaded.update.state.status == UpdateStatus::WaitingConfirmation)
        .map(|loaded| (loaded.update.id, loaded.update.campaign))
        .collect();
    let mut effects = Effects::default();
    for (id, campaign) in waiting {
        work.apply_event(id, &UpdateEvent::AutoConfirmed, report.at, tenant_counters)?;
        effects.updates.push(campaign.map(|(campaign, _)| campaign));
    }
    write(tx, work, report, Some(auto_confirm)).await?;
    let action = "device.activate_auto_confirm";
    write_audit(tx, work, report, action, None, Some(auto_confirm)).await?;
    Ok(effects)
}

/// Deactivates it for later updates. The device is locked, so that a concurrently created update is either confirmed or
/// waits.
pub(super) async fn deactivate(
    tx: &mut Tx,
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
) -> RecordOutcome {
    let device = work.device(report.device).ok_or(RecordError::NotFound)?;
    // Only the audit trail needs it.
    let before = if device.auto_confirms && report.by.is_some() {
        read(tx, report.tenant, report.device).await?
    } else {
        None
    };
    write(tx, work, report, None).await?;
    let action = "device.deactivate_auto_confirm";
    write_audit(tx, work, report, action, before.as_ref(), None).await?;
    Ok(Effects::default())
}

/// Writes the columns. Later reports of the batch see the change.
async fn write(
    tx: &mut Tx,
    work: &mut UpdateUnitOfWork,
    report: &DeviceReport,
    auto_confirm: Option<&AutoConfirm>,
) -> Result<(), StoreError> {
    write_columns(tx, report, auto_confirm).await?;
    work.set_auto_confirms(report.device, auto_confirm.is_some());
    Ok(())
}

/// Writes the audit row, if an actor acted for the device.
async fn write_audit(
    tx: &mut Tx,
    work: &UpdateUnitOfWork,
    report: &DeviceReport,
    action: &'static str,
    before: Option<&AutoConfirm>,
    after: Option<&AutoConfirm>,
) -> Result<(), StoreError> {
    let (Some(by), Some(device)) = (&report.by, work.device(report.device)) else {
        return Ok(());
    };
    let fields = |auto_confirm: Option<&AutoConfirm>| match auto_confirm {
        Some(active) => json!({
            "auto_confirm": true, "initiator": active.initiator, "remark": active.remark,
        }),
        None => json!({ "auto_confirm": false }),
    };
    let (before, after) = (fields(before), fields(after));
    let entry = AuditEntry::new(action, &device.device_id, before, after);
    audit::record(tx, &by.ctx, entry).await
}

async fn write_columns(
    tx: &mut Tx,
    report: &DeviceReport,
    auto_confirm: Option<&AutoConfirm>,
) -> Result<(), StoreError> {
    const SET: &str = "write auto-confirm";
    let text = |text: Option<&String>| text.map(|text| storable(text).into_owned());
    let write_columns = sqlx::query(
        "UPDATE devices SET auto_confirm_at = $3, auto_confirm_by = $4, auto_confirm_remark = $5 \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(report.tenant.0)
    .bind(report.device.0)
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
