use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::RETURN_WEIGHT,
    device::Device,
    firmware::Firmware,
    id::FirmwareId,
    update::{Proof, Terms, UpdateStatus},
    version::is_same,
};

use super::{Obstacle, bring_back::bring_back, check::Policies, log::note};
use crate::{
    Engine, Error, Result,
    ports::{Offer, PageRequest, Past, Role, UpdateFilter, UpdateRow},
    registry,
    tenants::Actor,
};

/// From offer to end.
const TIMEOUT: Duration = Duration::from_hours(1);
/// Among how many of a device's newest updates the version is looked for that it is to have again.
const NEWEST: PageRequest = PageRequest {
    limit: 500,
    offset: 0,
};

/// Brings a device back to the firmware that it had before its last update, or to a version that it had, or that exists
/// for its model. Going back to an older version is what is asked for, so no policy is asked about versions. Whatever else
/// is open for the device is called back, for it would undo this. `force` goes past policies and a pin, and brings again
/// what is there.
pub async fn roll_back(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    target_version: Option<&str>,
    force: bool,
    reason: &str,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    let device = registry::get(engine, actor, device_id).await?;
    let updates = updates(engine, actor, &device).await?;
    let last = updates.iter().find(|row| has_it(&device, row));
    let target = match target_version {
        None => before(engine, actor, &device, last).await?,
        Some(version) => match had(&updates, version) {
            Some(had) => had,
            None => of_version(engine, actor, &device, last, version).await?,
        },
    };
    let firmware = firmware(engine, actor, target.firmware).await?;
    // What it had fits it, whatever it tells of itself now.
    let asks_nobody = target.has_run || force;
    let asked: &[&str] = if asks_nobody { &[] } else { &["hardware"] };
    let policies = Policies::named(engine, actor.tenant, asked).await?;
    let named = vec![device_id.to_owned()];
    let checked = policies
        .check(engine, actor.tenant, &firmware, TIMEOUT, named)
        .await?;
    if let Some((_, Some(reason))) = checked.get(device_id) {
        return Err(Obstacle::Incompatible(reason.clone()).into_error(device_id));
    }
    let offer = Offer {
        firmware: target.firmware,
        to_version: firmware.details.version,
        weight: RETURN_WEIGHT,
        proof: Proof::Reported,
        terms: Terms::forced(TIMEOUT),
        now: engine.now(),
    };
    // What the last update to complete brought is not there any more where the device went on from it.
    let is_elsewhere =
        last.is_some_and(|row| Some(row.update.firmware) != device.installed_firmware);
    let past = Past {
        pin: force,
        installed: force || is_elsewhere,
    };
    let (id, called_back) = bring_back(engine, &device, &offer, past).await?;
    let row = super::get(engine, actor, id).await?;
    note(engine, actor, &row.update, "rolled back", reason).await;
    for gone in &updates {
        if called_back.iter().any(|(id, _)| *id == gone.update.id) {
            let did = format!("called back for update {id}");
            note(engine, actor, &gone.update, &did, reason).await;
        }
    }
    Ok(row)
}

/// Whether this is what the device runs, as far as is known: the update brought what completed last, or its device said
/// that it installed it, and has yet to prove it or never did.
fn has_it(device: &Device, row: &UpdateRow) -> bool {
    let update = &row.update;
    let progress = &update.progress;
    let is_last = Some(update.firmware) == device.installed_firmware;
    match progress.status {
        _ if !progress.terms.update_type.installs() => false,
        UpdateStatus::Completed => is_last,
        _ => progress.went_over,
    }
}

/// Where a device goes back to.
struct Target {
    firmware: FirmwareId,
    /// Whether an update to it has completed on the device, so that it fits whatever the device tells of itself now.
    has_run: bool,
}

/// What the device had before this update.
async fn before(
    engine: &Engine,
    actor: &Actor,
    device: &Device,
    last: Option<&UpdateRow>,
) -> Result<Target> {
    let Some(last) = last else {
        return Err(nowhere("no update of the device has completed"));
    };
    if let Some(firmware) = last.update.from_firmware {
        return Ok(Target {
            firmware,
            has_run: true,
        });
    }
    let Some(version) = &last.update.from_version else {
        return Err(nowhere(
            "nobody knows what the device had before its last update: name a target_version",
        ));
    };
    let name = &last.firmware_name;
    match like(engine, actor, device, name, version).await? {
        Some(found) => Ok(found),
        None => Err(nowhere(&format!(
            "the device had version {version} before its last update, and there is no {name} {version} for its model"
        ))),
    }
}

/// A firmware of this version that the device had.
fn had(updates: &[UpdateRow], version: &str) -> Option<Target> {
    let had = updates.iter().find(|row| {
        let progress = &row.update.progress;
        let has_run =
            progress.status == UpdateStatus::Completed && progress.terms.update_type.installs();
        has_run && is_same(&row.update.to_version, version)
    })?;
    Some(Target {
        firmware: had.update.firmware,
        has_run: true,
    })
}

/// The firmware of this version for the device's model, of the name of what it has.
async fn of_version(
    engine: &Engine,
    actor: &Actor,
    device: &Device,
    last: Option<&UpdateRow>,
    version: &str,
) -> Result<Target> {
    let name = match (last, device.installed_firmware) {
        (Some(last), _) => last.firmware_name.clone(),
        (None, Some(installed)) => firmware(engine, actor, installed).await?.details.name,
        (None, None) => {
            let why = "nobody knows which firmware the device has: offer it one by its id";
            return Err(nowhere(why));
        }
    };
    let found = like(engine, actor, device, &name, version).await?;
    let absent = || format!("there is no {name} {version} for the device's model");
    found.ok_or_else(|| nowhere(&absent()))
}

/// The firmware of this name and version for the device's model.
async fn like(
    engine: &Engine,
    actor: &Actor,
    device: &Device,
    name: &str,
    version: &str,
) -> Result<Option<Target>> {
    let model = device.hw_model.as_deref();
    let found = engine
        .store()
        .firmware_of_version(actor.tenant, name, version, model)
        .await?;
    Ok(found.map(|firmware| Target {
        firmware,
        has_run: false,
    }))
}

/// The newest first.
async fn updates(engine: &Engine, actor: &Actor, device: &Device) -> Result<Vec<UpdateRow>> {
    let filter = UpdateFilter {
        campaign: None,
        device: Some(device.key),
    };
    let page = engine
        .store()
        .list_updates(actor.tenant, &filter, NEWEST)
        .await?;
    Ok(page.items)
}

async fn firmware(engine: &Engine, actor: &Actor, id: FirmwareId) -> Result<Firmware> {
    let firmware = engine.store().firmware(actor.tenant, id).await?;
    firmware.ok_or_else(|| Error::not_found("firmware", id))
}

fn nowhere(why: &str) -> Error {
    Error::conflict("nothing_to_go_back_to", why)
}
