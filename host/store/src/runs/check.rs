use std::{collections::BTreeSet, time::Duration};

use sqlx::any::AnyRow;
use tidegate_core::{
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    plugin::ClassKey,
    time::Timestamp,
    update::{
        IntermediateFirmware, Update, UpdateEvent, UpdateStatus, UpdateTypeName, UpgradePath,
    },
};
use tidegate_engine::{
    chain,
    ports::{AffectedDevice, CheckOutcome, CheckedUpdates, StoreError, UpdateCheck, UpdateToCheck},
};

use crate::{
    campaigns::{CampaignRunRow, intermediate, lock_firmware},
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
    updates::{
        class_attributes::{ClassAttributes, attribute_names},
        compatibility,
        unit_of_work::{
            ChangedRow, ColumnValue, UpdateUnitOfWork, notify_affected_devices, update_rows,
        },
    },
};

const READ: &str = "read updates to check";
/// Delay after a check that failed.
const RETRY_DELAY: Duration = Duration::from_mins(1);

/// The due updates, of all tenants, whose device is of another class than the policies accepted. Tenants take turns, each
/// with its longest due update first, so that one with slow policies delays no other.
pub(crate) async fn updates_to_check(
    database: &Database,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<UpdateToCheck>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT u.tenant_id, u.id, u.device_key, u.firmware_id, u.campaign_id, u.update_type, u.update_timeout_ms, \
         u.compatibility, \
         d.device_id, d.hw_model, d.hw_revision, d.sw_version FROM (\
           SELECT tenant_id, id, timeout_at, \
           ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY timeout_at, id) AS turn FROM updates \
           WHERE completed_at IS NULL AND timeout_at <= $1 AND status = 'scheduled' AND compatibility IS NOT NULL \
           ORDER BY turn, timeout_at, id LIMIT $2\
         ) AS due \
         JOIN updates u ON u.tenant_id = due.tenant_id AND u.id = due.id \
         JOIN devices d ON d.tenant_id = u.tenant_id AND d.id = u.device_key \
         ORDER BY due.turn, due.timeout_at, due.id",
    )
    .bind(now.0)
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        match from_row(row).map_err(row_error(READ)) {
            Ok(update) => found.extend(update),
            // It stops no other.
            Err(error) => {
                tracing::warn!(error = %chain(&error), "update to check not read; retrying");
            }
        }
    }
    add_attributes(&mut tx, &mut found).await?;
    Ok(found
        .into_iter()
        .filter(|(update, class)| !update.basis.covers(class))
        .map(|(update, _)| update)
        .collect())
}

/// Adds the attributes to the classes of the devices: one statement for each tenant whose policies request any.
async fn add_attributes(
    tx: &mut Tx,
    found: &mut [(UpdateToCheck, ClassKey)],
) -> Result<(), StoreError> {
    let requested = |(update, _): &&(UpdateToCheck, _)| !update.basis.attributes.is_empty();
    let requested = found.iter().filter(requested);
    let tenants: BTreeSet<TenantId> = requested.map(|(update, _)| update.tenant).collect();
    for tenant in tenants {
        let of_tenant = || {
            let updates = found.iter().map(|(update, _)| update);
            updates.filter(|update| update.tenant == tenant)
        };
        let mut attributes = ClassAttributes::default();
        let devices = of_tenant().map(|update| update.device);
        let names = attribute_names(of_tenant().map(|update| &update.basis));
        attributes.read(tx, tenant, devices, names).await?;
        let of_tenant = found
            .iter_mut()
            .filter(|(update, _)| update.tenant == tenant);
        for (update, class) in of_tenant {
            class.attributes = attributes.of(update.device, &update.basis.attributes);
        }
    }
    Ok(())
}

/// An update with the class of its device, without attributes.
fn from_row(row: &AnyRow) -> Result<Option<(UpdateToCheck, ClassKey)>, RowError> {
    let Some(basis) = compatibility::from_row(row)? else {
        return Ok(None);
    };
    let class = ClassKey {
        hardware_model: row.take("hw_model")?,
        hardware_revision: row.take("hw_revision")?,
        version: row.take("sw_version")?,
        attributes: Vec::new(),
    };
    // An intermediate step leads to the firmware that the policies decide on.
    let target = basis.path.as_ref().map(|path| path.target);
    let update_type: UpdateTypeName = row.parse("update_type")?;
    let update = UpdateToCheck {
        tenant: TenantId(row.take("tenant_id")?),
        update: UpdateId(row.take("id")?),
        device: DeviceKey(row.take("device_key")?),
        device_id: row.take("device_id")?,
        firmware: target.unwrap_or(FirmwareId(row.take("firmware_id")?)),
        installs: update_type != UpdateTypeName::DownloadOnly,
        campaign: row.take::<Option<i64>>("campaign_id")?.map(CampaignId),
        update_timeout: Duration::from_millis(row.count("update_timeout_ms")?),
        basis,
    };
    Ok(Some((update, class)))
}

/// Records what policies decided on the updates of one tenant and campaign. An update whose device changed again, or that
/// is not due any more, stays as it is.
pub(crate) async fn record_checks(
    database: &Database,
    checked: &CheckedUpdates,
    now: Timestamp,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let tenant = checked.tenant;
    let mut tx = database.write().await?;
    let mut tenant_counters = TenantCounters::default();
    let needed = checked.checks.iter().filter_map(|check| {
        let CheckOutcome::Needs(first) = &check.outcome else {
            return None;
        };
        Some(first.firmware)
    });
    let needed: BTreeSet<FirmwareId> = needed.collect();
    if let Some(campaign) = checked.campaign
        && let Some(mut run_row) = CampaignRunRow::lock(&mut tx, tenant, campaign).await?
    {
        run_row.append_journal(&mut tx, &checked.journal).await?;
        run_row.write(&mut tx, &mut tenant_counters).await?;
        intermediate::keep(&mut tx, tenant, campaign, &needed).await?;
    } else {
        for firmware in needed {
            lock_firmware(&mut tx, tenant, firmware).await?;
        }
    }
    let devices: BTreeSet<DeviceKey> = checked.checks.iter().map(|check| check.device).collect();
    let updates: BTreeSet<UpdateId> = checked.checks.iter().map(|check| check.update).collect();
    let mut work = UpdateUnitOfWork::open(&mut tx, tenant, &devices, &updates, now).await?;
    let attributes = checked.attributes.iter().map(String::as_str);
    work.read_class_attributes(&mut tx, attributes).await?;
    let (mut affected, mut decided) = (Vec::new(), Vec::new());
    for check in &checked.checks {
        let attributes = &checked.attributes;
        if apply(&mut work, check, attributes, now, &mut tenant_counters) {
            decided.push(check.update);
        }
        affected.extend(work.affected(check.device, checked.campaign));
    }
    let decided = decided
        .iter()
        .filter_map(|id| Some(&work.loaded(*id)?.update));
    write_decided(&mut tx, tenant, decided).await?;
    notify_affected_devices(&mut tx, &affected).await?;
    work.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(affected)
}

/// Repeats a check later. Reads nothing of the update, whose row may be damaged.
pub(crate) async fn postpone_check(
    database: &Database,
    tenant: TenantId,
    update: UpdateId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "UPDATE updates SET timeout_at = $3 \
         WHERE tenant_id = $1 AND id = $2 AND completed_at IS NULL AND status = 'scheduled' AND timeout_at <= $4",
    )
    .bind(tenant.0)
    .bind(update.0)
    .bind(now.plus(RETRY_DELAY).0)
    .bind(now.0)
    .execute(tx.conn())
    .await
    .map_err(failed("postpone the check of an update"))?;
    tx.commit().await
}

/// Applies a check to its update, by policies that request these attributes. Returns whether they decided: whether what
/// the compatibility of the update is based on has changed, and maybe its firmware.
fn apply(
    work: &mut UpdateUnitOfWork,
    check: &UpdateCheck,
    attributes: &[String],
    now: Timestamp,
    tenant_counters: &mut TenantCounters,
) -> bool {
    let is_same_class = work.class(check.device, attributes).as_ref() == Some(&check.class);
    let Some(loaded) = work.loaded_mut(check.update) else {
        return false;
    };
    let update = &mut loaded.update;
    if update.state.status != UpdateStatus::Scheduled || !is_same_class {
        return false;
    }
    let event = match &check.outcome {
        CheckOutcome::Failed => {
            update.state.timeout_at = now.plus(RETRY_DELAY);
            return false;
        }
        CheckOutcome::Accepted => {
            update.install_target();
            None
        }
        CheckOutcome::Needs(first) => match refusal(update, first) {
            None => {
                update.install_first(first);
                None
            }
            Some(reason) => Some(UpdateEvent::NoUpgradePath(reason)),
        },
        CheckOutcome::Rejected(reason) => Some(UpdateEvent::Incompatible(reason.clone())),
    };
    let Some(basis) = &mut update.compatibility else {
        return false;
    };
    match event {
        None => {
            attributes.clone_into(&mut basis.attributes);
            basis.accepted = Some((check.class.clone(), now));
        }
        Some(event) => {
            basis.rejected = Some(check.class.clone());
            // Cannot fail: a scheduled update can end.
            let _ = work.apply_event(check.update, &event, now, tenant_counters);
        }
    }
    true
}

/// Why an intermediate firmware cannot be the next one of the update's path.
fn refusal(update: &Update, first: &IntermediateFirmware) -> Option<String> {
    let path: Option<&UpgradePath> = update.compatibility.as_ref()?.path.as_ref();
    path?.refuse(first)
}

/// Writes what a check decided: nothing else changes these columns.
async fn write_decided(
    tx: &mut Tx,
    tenant: TenantId,
    decided: impl Iterator<Item = &Update>,
) -> Result<(), StoreError> {
    let rows = decided.map(|update| {
        let text = compatibility::to_text(update.compatibility.as_ref())?;
        let columns = vec![
            ("compatibility", ColumnValue::text_or_null(text)),
            ("firmware_id", ColumnValue::int(update.firmware.0)),
            (
                "to_version",
                ColumnValue::text(storable(&update.to_version)),
            ),
        ];
        Ok(ChangedRow::of(update.id.0.into(), columns))
    });
    let rows = rows.collect::<Result<_, StoreError>>()?;
    update_rows(tx, tenant, "updates", rows).await
}
