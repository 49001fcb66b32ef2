use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::RETURN_WEIGHT,
    device::Device,
    firmware::Firmware,
    id::FirmwareId,
    update::{Proof, Terms, UpdateStatus},
};

use super::{check::Policies, create::create_checked, log::note};
use crate::{
    Engine, Error, Result,
    ports::{Offer, PageRequest, Role, UpdateFilter, UpdateRow},
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

/// Brings a device back to the firmware that it had before its last completed update, or to a version that it had, or
/// that exists for its model. Going back to an older version is what is asked for, so no policy is asked about versions.
pub async fn roll_back(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_id: &str,
    target_version: Option<&str>,
    reason: &str,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    let device = registry::get(engine, actor, device_id).await?;
    let target = match target_version {
        None => before(engine, actor, &device).await?,
        Some(version) => of_version(engine, actor, &device, version).await?,
    };
    let (id, is_known_to_run) = target;
    let firmware = firmware(engine, actor, id).await?;
    // What it had fits it, whatever it tells of itself now.
    let asked: &[&str] = if is_known_to_run { &[] } else { &["hardware"] };
    let policies = Policies::named(engine, actor.tenant, asked).await?;
    let named = vec![device_id.to_owned()];
    let checked = policies
        .check(engine, actor.tenant, &firmware, TIMEOUT, named)
        .await?;
    let offer = Offer {
        firmware: id,
        to_version: firmware.details.version,
        weight: RETURN_WEIGHT,
        proof: Proof::Reported,
        terms: Terms::forced(TIMEOUT),
        now: engine.now(),
    };
    let row = create_checked(engine, actor, device_id, &checked, &offer, false).await?;
    note(engine, actor, &row.update, "rolled back", reason).await;
    Ok(row)
}

/// What the device had before its last completed update, and that it has run it.
async fn before(engine: &Engine, actor: &Actor, device: &Device) -> Result<(FirmwareId, bool)> {
    let completed = updates(engine, actor, device)
        .await?
        .into_iter()
        .find(|row| {
            Some(row.update.firmware) == device.installed_firmware
                && row.update.progress.status == UpdateStatus::Completed
        });
    let Some(last) = completed else {
        return Err(nowhere("no update of the device has completed"));
    };
    if let Some(id) = last.update.from_firmware {
        return Ok((id, true));
    }
    let Some(version) = &last.update.from_version else {
        return Err(nowhere(
            "nobody knows what the device had before its last update: name a target_version",
        ));
    };
    let name = &last.firmware_name;
    match engine
        .store()
        .firmware_of_version(actor.tenant, name, version)
        .await?
    {
        Some(id) => Ok((id, false)),
        None => Err(nowhere(&format!(
            "the device had version {version} before its last update, and there is no such firmware"
        ))),
    }
}

/// A firmware of this version that the device had, or else one for its model, of the name of what it has if there is one.
async fn of_version(
    engine: &Engine,
    actor: &Actor,
    device: &Device,
    version: &str,
) -> Result<(FirmwareId, bool)> {
    let updates = updates(engine, actor, device).await?;
    let had = updates.iter().find(|row| {
        let completed = row.update.progress.status == UpdateStatus::Completed;
        completed && row.update.to_version == version
    });
    if let Some(had) = had {
        return Ok((had.update.firmware, true));
    }
    let name = match device.installed_firmware {
        Some(id) => firmware(engine, actor, id).await?.details.name,
        None => String::new(),
    };
    let found = engine
        .store()
        .firmware_of_version(actor.tenant, &name, version)
        .await?;
    let absent = || nowhere(&format!("there is no firmware {version} for the device"));
    let id = found.ok_or_else(absent)?;
    let model = firmware(engine, actor, id).await?.details.device_model;
    let fits = model.is_none() || device.hw_model.is_none() || model == device.hw_model;
    if fits { Ok((id, false)) } else { Err(absent()) }
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
