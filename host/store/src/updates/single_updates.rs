use std::collections::{BTreeSet, HashMap};

use serde_json::{Value, json};
use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::{Attempt, Update, UpdateEvent, UpdateState, UpdateStatus},
    wave::Counts,
};
use tidegate_engine::{
    Ctx,
    ports::{
        AffectedDevice, CancelledUpdates, Offer, OfferAction, OfferActor, OfferOverrides,
        OfferResult, RequestedApproval, StoreError, UpdateAuthorship,
    },
};

use super::{
    approvals,
    chosen_policies::keep_policies,
    unit_of_work::{NewUpdate, UpdateUnitOfWork, notify_affected_devices},
};
use crate::{
    audit::{self, AuditEntry, MAX_NAMED},
    campaigns::lock_firmware,
    database::{Database, Tx},
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error},
    tenant_counters::TenantCounters,
    update_options::UpdateOptionsRow,
};

pub(crate) async fn create(
    database: &Database,
    tenant: TenantId,
    devices: &[DeviceKey],
    offer: &Offer,
    force: bool,
    by: Option<&OfferActor>,
) -> Result<Vec<OfferResult>, StoreError> {
    let overrides = OfferOverrides {
        ignore_pin: force,
        ignore_installed: force,
    };
    let mut tx = database.write().await?;
    let first = offer.compatibility.intermediate_firmware();
    for firmware in first.into_iter().chain([offer.firmware]) {
        lock_firmware(&mut tx, tenant, firmware).await?;
    }
    keep_policies(&mut tx, tenant, offer.compatibility.policies.as_ref()).await?;
    let keys: BTreeSet<DeviceKey> = devices.iter().copied().collect();
    let mut work =
        UpdateUnitOfWork::open(&mut tx, tenant, &keys, &BTreeSet::new(), offer.now).await?;
    let mut tenant_counters = TenantCounters::default();
    let obstacles: HashMap<_, _> = keys
        .iter()
        .filter_map(|key| Some((*key, obstacle(&work, *key, offer, overrides, false)?)))
        .collect();
    let new = keys
        .iter()
        .filter(|key| !obstacles.contains_key(key))
        .map(|key| new_update(&work, *key, offer, by.map(|by| &by.authorship)));
    let mut new: Vec<_> = new.collect();
    let approval = by.and_then(|by| Some((by, by.approval?)));
    if let Some((by, RequestedApproval::Existing(id))) = approval
        && !new.is_empty()
        && !approvals::join(&mut tx, &by.ctx, id, force, by.incomplete_until).await?
    {
        let refused = |key| {
            let obstacle = obstacles.get(key).cloned();
            obstacle.unwrap_or(OfferResult::ApprovalDecided)
        };
        return Ok(devices.iter().map(refused).collect());
    }
    if approval.is_some_and(|(_, approval)| approval.waits()) {
        for new in &mut new {
            new.state = waiting_state(offer);
        }
    }
    let created = work
        .create_updates(&mut tx, new, &mut tenant_counters)
        .await?;
    if let Some((by, approval)) = approval {
        let created = created.values().copied().collect();
        let until = by.incomplete_until;
        approvals::request(&mut tx, &by.ctx, approval, &created, force, until).await?;
    }
    let affected = affected(&mut tx, &work, &created).await?;
    let by = by.filter(|_| !created.is_empty());
    let entry = by
        .map(|by| {
            Ok((
                by,
                offer_entry(by.action, &work, &created, offer, overrides)?,
            ))
        })
        .transpose()?;
    work.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    if let Some((by, entry)) = entry {
        audit::record(&mut tx, &by.ctx, entry).await?;
    }
    tx.commit().await?;
    let result = |key| match (obstacles.get(key), created.get(key), affected.get(key)) {
        (Some(obstacle), ..) => Ok(obstacle.clone()),
        (None, Some(id), Some(affected)) => Ok(OfferResult::Created(*id, affected.clone())),
        _ => Err(internal("create updates")(
            format!("no update was created for device {key}").into(),
        )),
    };
    devices.iter().map(result).collect()
}

pub(crate) async fn roll_back_device(
    database: &Database,
    ctx: &Ctx,
    key: DeviceKey,
    offer: &Offer,
    overrides: OfferOverrides,
    reason: &str,
    needs_approval: bool,
) -> Result<(OfferResult, CancelledUpdates), StoreError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    lock_firmware(&mut tx, tenant, offer.firmware).await?;
    let (keys, none) = (BTreeSet::from([key]), BTreeSet::new());
    let mut work = UpdateUnitOfWork::open(&mut tx, tenant, &keys, &none, offer.now).await?;
    // A rollback that needs no approval does not wait behind one that does: it cancels it.
    if let Some(obstacle) = obstacle(&work, key, offer, overrides, !needs_approval) {
        return Ok((obstacle, CancelledUpdates::new()));
    }
    let mut tenant_counters = TenantCounters::default();
    let installed = work
        .device(key)
        .and_then(|device| device.installed_firmware);
    let cancelled = cancel_open(&mut work, key, offer.now, &mut tenant_counters);
    let authorship = UpdateAuthorship::single(ctx);
    let mut new = new_update(&work, key, offer, Some(&authorship));
    if needs_approval {
        new.state = waiting_state(offer);
    }
    let created = work
        .create_updates(&mut tx, vec![new], &mut tenant_counters)
        .await?;
    if needs_approval {
        let updates = created.values().copied().collect();
        let (new, is_forced) = (RequestedApproval::New, overrides.ignore_pin);
        approvals::request(&mut tx, ctx, new, &updates, is_forced, None).await?;
    }
    let affected = affected(&mut tx, &work, &created).await?;
    let (Some(id), Some(affected)) = (created.get(&key), affected.get(&key)) else {
        let error = format!("no update was created for device {key}");
        return Err(internal("create updates")(error.into()));
    };
    let before = json!({ "firmware_id": installed.map(|id| id.0) });
    let cancelled_ids: Vec<_> = cancelled
        .iter()
        .take(MAX_NAMED)
        .map(|(id, _)| id.0)
        .collect();
    let after = json!({
        "firmware_id": offer.firmware.0, "version": offer.to_version, "weight": offer.weight, "update_id": id.0,
        "cancelled_updates": cancelled_ids, "overrides": overrides_json(overrides), "reason": reason,
    });
    let entry = AuditEntry::new("device.roll_back", &affected.device_id, before, after);
    let created = OfferResult::Created(*id, affected.clone());
    work.write(&mut tx, &mut tenant_counters).await?;
    tenant_counters.write(&mut tx).await?;
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok((created, cancelled))
}

fn overrides_json(overrides: OfferOverrides) -> Value {
    let OfferOverrides {
        ignore_pin,
        ignore_installed,
    } = overrides;
    json!({ "ignore_pin": ignore_pin, "ignore_installed": ignore_installed })
}

/// The updates that an actor created, for the audit trail.
fn offer_entry(
    action: OfferAction,
    work: &UpdateUnitOfWork,
    created: &HashMap<DeviceKey, UpdateId>,
    offer: &Offer,
    overrides: OfferOverrides,
) -> Result<AuditEntry, StoreError> {
    let mut created: Vec<_> = created.iter().map(|(key, id)| (*id, *key)).collect();
    created.sort_unstable();
    let device_id = |key: DeviceKey| work.device(key).map(|device| &device.device_id);
    let (firmware, version) = (offer.firmware.0, &offer.to_version);
    let (action, one) = match action {
        OfferAction::Create => ("update.create", true),
        OfferAction::Retry => ("update.retry", true),
        OfferAction::CreateMany => ("update.create_many", false),
    };
    let options = UpdateOptionsRow::new(&offer.options, offer.success_criteria)?;
    let (weight, overrides) = (offer.weight, overrides_json(overrides));
    if let (true, [(id, key)]) = (one, &created[..]) {
        let after = json!({
            "device_id": device_id(*key), "firmware_id": firmware, "version": version, "weight": weight,
            "options": options, "overrides": overrides,
        });
        return Ok(AuditEntry::new(action, id, Value::Null, after));
    }
    let updates = created.iter().take(MAX_NAMED);
    let updates =
        updates.map(|(id, key)| json!({ "update_id": id.0, "device_id": device_id(*key) }));
    Ok(AuditEntry {
        action,
        resource_kind: "update",
        resource_id: None,
        before: Value::Null,
        after: json!({
            "firmware_id": firmware, "version": version, "weight": weight, "count": created.len(),
            "updates": updates.collect::<Vec<_>>(), "options": options, "overrides": overrides,
        }),
    })
}

/// Cancels all open updates of the device.
fn cancel_open(
    work: &mut UpdateUnitOfWork,
    key: DeviceKey,
    now: Timestamp,
    tenant_counters: &mut TenantCounters,
) -> CancelledUpdates {
    let open: CancelledUpdates = work
        .updates_of(key)
        .map(|loaded| &loaded.update)
        .filter(|update| update.state.status.is_open())
        .map(|update| (update.id, update.campaign.map(|(campaign, _)| campaign)))
        .collect();
    for (id, _) in &open {
        // Open updates can be cancelled in any state.
        let _ = work.apply_event(*id, &UpdateEvent::CancelRequested, now, tenant_counters);
        let status = work.loaded(*id).map(|loaded| loaded.update.state.status);
        if status == Some(UpdateStatus::Verifying) {
            // A verifying update ends: its firmware is being replaced, and it must not be retried.
            let _ = work.apply_event(*id, &UpdateEvent::ForceCancel, now, tenant_counters);
        }
    }
    open
}

/// `ignores_waiting`: an open update of the same firmware that waits for approval is no obstacle.
fn obstacle(
    work: &UpdateUnitOfWork,
    key: DeviceKey,
    offer: &Offer,
    overrides: OfferOverrides,
    ignores_waiting: bool,
) -> Option<OfferResult> {
    let Some(device) = work.device(key) else {
        return Some(OfferResult::DeviceNotFound);
    };
    let mut open = work
        .updates_of(key)
        .map(|loaded| &loaded.update)
        .filter(|update| update.state.status.is_open())
        .filter(|update| !ignores_waiting || update.state.status != UpdateStatus::WaitingApproval);
    let is_same =
        |update: &&Update| update.firmware == offer.firmware || update.target().0 == offer.firmware;
    if let Some(same) = open.find(is_same) {
        return Some(OfferResult::AlreadyOpen(same.id));
    }
    if device.pinned && !overrides.ignore_pin {
        return Some(OfferResult::Pinned);
    }
    let has_it = device.installed_firmware == Some(offer.firmware);
    (has_it && !overrides.ignore_installed).then_some(OfferResult::AlreadyInstalled)
}

fn new_update(
    work: &UpdateUnitOfWork,
    device: DeviceKey,
    offer: &Offer,
    authorship: Option<&UpdateAuthorship>,
) -> NewUpdate {
    let offered = work.offered(device, offer);
    NewUpdate {
        device,
        firmware: offered.firmware,
        campaign: None,
        weight: offer.weight,
        to_version: offered.to_version,
        state: UpdateState::offered(offer.success_criteria, offer.options.clone(), offer.now),
        created_at: offer.now,
        attempt: Attempt::default(),
        compatibility: offered.compatibility,
        authorship: authorship.cloned(),
    }
}

/// The state of an update that waits for approval.
fn waiting_state(offer: &Offer) -> UpdateState {
    UpdateState::waiting_approval(offer.success_criteria, offer.options.clone(), offer.now)
}

async fn affected(
    tx: &mut Tx,
    work: &UpdateUnitOfWork,
    created: &HashMap<DeviceKey, UpdateId>,
) -> Result<HashMap<DeviceKey, AffectedDevice>, StoreError> {
    let affected: Vec<_> = created
        .keys()
        .filter_map(|key| work.affected(*key, None))
        .collect();
    notify_affected_devices(tx, &affected).await?;
    Ok(affected
        .into_iter()
        .map(|affected| (affected.device, affected))
        .collect())
}

pub(crate) async fn totals(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
) -> Result<Counts, StoreError> {
    const COUNT: &str = "count updates of a device";
    let rows = sqlx::query(
        "SELECT status, COUNT(*) AS n FROM updates \
         WHERE tenant_id = $1 AND device_key = $2 AND is_retried = 0 GROUP BY status",
    )
    .bind(tenant.0)
    .bind(device.0)
    .fetch_all(tx.conn())
    .await
    .map_err(failed(COUNT))?;
    let mut counts = Counts::default();
    for row in &rows {
        let read = || {
            let status: UpdateStatus = row.parse("status")?;
            Ok::<_, RowError>((status, row.count("n")?))
        };
        let (status, n) = read().map_err(row_error(COUNT))?;
        *counts.slot(status.bucket()) += n;
    }
    Ok(counts)
}
