use std::time::Duration;

use tidegate_core::{
    campaign::ROLLBACK_WEIGHT,
    device::Device,
    firmware::Firmware,
    id::FirmwareId,
    plugin::{ClassKey, PluginName},
    update::{CompatibilityBasis, SuccessCriteria, UpdateOptions, UpdatePolicies, UpdateStatus},
    version::is_same,
};

use super::{OfferRefusal, approve::requested_approval, bulk::created_id};
use crate::{
    Authorized, Ctx, Error, Operator, PluginCalls, Remedy, Result, UpdateWriter,
    compatibility::{
        CheckedDevice, CompatibilityCheck, HARDWARE, IntermediateRules, Policies,
        context_without_campaign,
    },
    ports::{
        Offer, OfferCompatibility, OfferOverrides, PageRequest, Store, UpdateFilter, UpdateRow,
    },
    registry,
};

/// From the offer to the end.
const ROLLBACK_TIMEOUT: Duration = Duration::from_hours(1);
/// The newest updates of a device, among which the target version is searched.
const SEARCHED_UPDATES: PageRequest = PageRequest {
    limit: 500,
    offset: 0,
};

/// Rolls a device back to the firmware before its last update, or to a version that it had or that exists for its
/// model. Policies do not check versions, because an older version is intended. The device's other open updates are
/// cancelled, since they would undo the rollback. `force` ignores policies and a pin, and installs the firmware even if
/// it is installed; the update may have to be approved first.
pub async fn roll_back(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    plugins: &PluginCalls,
    device_id: &str,
    target_version: Option<&str>,
    force: bool,
    reason: &str,
) -> Result<UpdateRow> {
    let store = writer.store();
    let device = registry::get_stored(ctx, store, device_id).await?;
    let updates = updates(ctx, store, &device).await?;
    let last = updates.iter().find(|row| is_running(&device, row));
    let target = match target_version {
        None => previous_firmware(ctx, store, &device, last, &updates).await?,
        Some(version) => match previously_completed(&updates, version) {
            Some(target) => target,
            None => find_version(ctx, store, &device, last, version).await?,
        },
    };
    let firmware = firmware(ctx, store, target.firmware).await?;
    // Firmware that ran on the device is compatible. If its hardware is another one since then, the policy is asked before
    // the device is offered the update.
    let skips_policies = target.has_run || force;
    let policy_names: &[PluginName] = if skips_policies { &[] } else { &[HARDWARE] };
    let policies = Policies::built_in(store, plugins, ctx.tenant, policy_names).await?;
    let check = CompatibilityCheck {
        plugins,
        tenant: ctx.tenant,
        policies: &policies,
        firmware: &firmware,
        context: context_without_campaign(ctx.now, ROLLBACK_TIMEOUT),
    };
    let options = UpdateOptions::forced(ROLLBACK_TIMEOUT);
    let rules = IntermediateRules::of_update(&options, &firmware, false);
    let checked = check
        .check_devices(store, rules, vec![device_id.to_owned()])
        .await?;
    let found = checked.get(device_id);
    if let Some(reason) = found.and_then(CheckedDevice::rejection) {
        return Err(OfferRefusal::Incompatible(reason.clone()).into_error(device_id));
    }
    let compatibility = match (force, target.basis) {
        (true, _) => OfferCompatibility::forced(),
        (false, Some(basis)) => OfferCompatibility::of_device(device.key, basis),
        // It has just been checked.
        (false, None) if policies.has(&HARDWARE) => OfferCompatibility::of_device(
            device.key,
            CompatibilityBasis {
                accepted: found.map(|found| (ClassKey::clone(&found.device.class), ctx.now)),
                attributes: policies.attributes,
                ..CompatibilityBasis::unchecked(UpdatePolicies::Hardware)
            },
        ),
        (false, None) => OfferCompatibility::default(),
    };
    let offer = Offer {
        firmware: target.firmware,
        to_version: firmware.details.version,
        weight: ROLLBACK_WEIGHT,
        success_criteria: SuccessCriteria::Reported,
        options,
        compatibility,
        now: ctx.now,
    };
    // If the device has since reported another installation, it no longer runs what its last completed update
    // installed.
    let has_moved_on =
        last.is_some_and(|row| Some(row.update.firmware) != device.installed_firmware);
    let overrides = OfferOverrides {
        ignore_pin: force,
        ignore_installed: force || has_moved_on,
    };
    let needs_approval = force && requested_approval(ctx, store).await?.is_some();
    let (result, cancelled) = writer
        .roll_back(ctx, &device, &offer, overrides, reason, needs_approval)
        .await?;
    let id = created_id(Some(&result)).map_err(|refusal| refusal.into_error(device_id))?;
    let row = super::get(ctx, store, id).await?;
    let action = if needs_approval {
        "rollback requested"
    } else {
        "rolled back"
    };
    writer.note(ctx, &row.update, action, reason).await;
    for row in &updates {
        if cancelled.iter().any(|(id, _)| *id == row.update.id) {
            let action = format!("cancelled for update {id}");
            writer.note(ctx, &row.update, &action, reason).await;
        }
    }
    Ok(row)
}

/// Whether the device runs this update's firmware, as far as is known: the update is the last completed one, or the
/// device reported its installation and has not proven it yet, or never did.
fn is_running(device: &Device, row: &UpdateRow) -> bool {
    let update = &row.update;
    let state = &update.state;
    let is_last = Some(update.firmware) == device.installed_firmware;
    match state.status {
        _ if !state.options.update_type.installs() => false,
        UpdateStatus::Completed => is_last,
        _ => state.installed_reported,
    }
}

/// The firmware to roll back to.
struct RollbackTarget {
    firmware: FirmwareId,
    /// Whether an update to it has completed on the device, so that no policy needs to check it.
    has_run: bool,
    /// As what the device was checked for it, and when, as far as is known.
    basis: Option<CompatibilityBasis>,
}

impl RollbackTarget {
    /// A firmware that ran on the device.
    fn of_installed(firmware: FirmwareId, updates: &[UpdateRow]) -> Self {
        let installed = updates.iter().map(|row| &row.update).find(|update| {
            update.firmware == firmware && update.state.status == UpdateStatus::Completed
        });
        let basis = installed.and_then(|update| update.compatibility.as_ref());
        Self {
            firmware,
            has_run: true,
            basis: basis.and_then(CompatibilityBasis::for_rollback),
        }
    }
}

/// The firmware that the device had before this update.
async fn previous_firmware(
    ctx: &Ctx,
    store: &dyn Store,
    device: &Device,
    last: Option<&UpdateRow>,
    updates: &[UpdateRow],
) -> Result<RollbackTarget> {
    let Some(last) = last else {
        return Err(no_rollback_target("no update of the device has completed"));
    };
    if let Some(firmware) = last.update.from_firmware {
        let target = RollbackTarget::of_installed(firmware, updates);
        let of_last = last.update.compatibility.as_ref();
        let of_last = of_last.and_then(CompatibilityBasis::for_rollback);
        return Ok(RollbackTarget {
            basis: target.basis.or(of_last),
            ..target
        });
    }
    let Some(version) = &last.update.from_version else {
        let error = no_rollback_target("the firmware before the last update is unknown");
        return Err(error.with_remedy(Remedy::SetField("target_version")));
    };
    let name = &last.firmware_name;
    match find_firmware(ctx, store, device, name, version).await? {
        Some(found) => Ok(found),
        None => Err(no_rollback_target(&format!(
            "the device had version {version} before its last update, and there is no {name} {version} for its model"
        ))),
    }
}

/// A firmware of this version that the device had.
fn previously_completed(updates: &[UpdateRow], version: &str) -> Option<RollbackTarget> {
    let completed = updates.iter().find(|row| {
        let state = &row.update.state;
        let has_run =
            state.status == UpdateStatus::Completed && state.options.update_type.installs();
        has_run && is_same(&row.update.to_version, version)
    })?;
    Some(RollbackTarget::of_installed(
        completed.update.firmware,
        updates,
    ))
}

/// The firmware of this version for the device's model, with the name of its current firmware.
async fn find_version(
    ctx: &Ctx,
    store: &dyn Store,
    device: &Device,
    last: Option<&UpdateRow>,
    version: &str,
) -> Result<RollbackTarget> {
    let name = match (last, device.installed_firmware) {
        (Some(last), _) => last.firmware_name.clone(),
        (None, Some(installed)) => firmware(ctx, store, installed).await?.details.name,
        (None, None) => {
            let error = no_rollback_target("the firmware of the device is unknown");
            return Err(error.with_remedy(Remedy::StartUpdate("firmware")));
        }
    };
    let found = find_firmware(ctx, store, device, &name, version).await?;
    let absent = || format!("there is no {name} {version} for the device's model");
    found.ok_or_else(|| no_rollback_target(&absent()))
}

/// The firmware of this name and version for the device's model.
async fn find_firmware(
    ctx: &Ctx,
    store: &dyn Store,
    device: &Device,
    name: &str,
    version: &str,
) -> Result<Option<RollbackTarget>> {
    let model = device.hw_model.as_deref();
    let found = store
        .firmware_of_version(ctx.tenant, name, version, model)
        .await?;
    Ok(found.map(|firmware| RollbackTarget {
        firmware,
        has_run: false,
        basis: None,
    }))
}

/// The device's updates, newest first.
async fn updates(ctx: &Ctx, store: &dyn Store, device: &Device) -> Result<Vec<UpdateRow>> {
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
        status: None,
    };
    let page = store
        .list_updates(ctx.tenant, &filter, SEARCHED_UPDATES)
        .await?;
    Ok(page.items)
}

async fn firmware(ctx: &Ctx, store: &dyn Store, id: FirmwareId) -> Result<Firmware> {
    let firmware = store.firmware(ctx.tenant, id).await?;
    firmware.ok_or_else(|| Error::not_found("firmware", id))
}

fn no_rollback_target(why: &str) -> Error {
    Error::conflict("nothing_to_go_back_to", why)
}
