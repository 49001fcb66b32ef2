use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tidegate_core::{
    campaign::{Priority, Targets},
    firmware::Firmware,
    id::{DeviceKey, TenantId},
    plugin::ClassKey,
    selector::{DEVICE_FIELDS, parse},
    update::{Proof, Terms},
};
use tokio::time::{Instant, sleep};

use super::choose::{Chooser, TIMEOUT, class};
use crate::{
    Engine, Error, Result, devices,
    ports::{Made, Offer},
};

/// Devices that may be given something by themselves: one that has drifted would be sent round, one with an open update
/// has something to do.
const MEANT: &str = "mode==latest;pinned==false;drifted==false;state!=pending";
/// Devices that are offered a firmware in one transaction.
const CHUNK: usize = 1000;
/// How long one round may take before somebody is to be told.
const PATIENCE: Duration = Duration::from_mins(10);

/// Keeps devices in mode `latest` up to date, until it is dropped. It works for at most a fifth of the time.
pub async fn keep_latest(engine: Arc<Engine>) {
    let pulse = engine.loops.watch("devices in mode latest", PATIENCE);
    loop {
        pulse.beat();
        let begun = Instant::now();
        if let Err(error) = look(&engine).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(
                error,
                "cannot keep devices in mode latest up to date; trying again"
            );
        }
        sleep(engine.settings.tick_period.max(begun.elapsed() * 4)).await;
    }
}

/// Looks once at every tenant that was stirred since it was last looked at.
pub async fn look(engine: &Engine) -> Result<()> {
    for (tenant, stir) in engine.store().stirred().await? {
        bring_up(engine, tenant).await?;
        engine.store().looked_at(tenant, stir).await?;
    }
    Ok(())
}

async fn bring_up(engine: &Engine, tenant: TenantId) -> Result<()> {
    let Some(chooser) = Chooser::of(engine, tenant).await? else {
        return Ok(());
    };
    let meant = parse(MEANT, &DEVICE_FIELDS)
        .map_err(|error| Error::internal("read which devices are meant", error))?;
    let selected = engine
        .store()
        .select(tenant, &Targets::default(), Some(&meant), &chooser.wanted)
        .await?;
    let mut by_class: BTreeMap<ClassKey, Vec<DeviceKey>> = BTreeMap::new();
    for device in selected {
        by_class.entry(device.class).or_default().push(device.key);
    }
    let (keys, devices): (Vec<_>, Vec<_>) = by_class.into_iter().unzip();
    let classes: Vec<_> = keys
        .into_iter()
        .zip(&devices)
        .map(|(key, devices)| class(key, devices.len() as u64))
        .collect();
    for (choice, devices) in chooser.choose(&classes).await?.into_iter().zip(devices) {
        if let Some(firmware) = choice.chosen {
            offer(engine, tenant, &firmware, &devices).await?;
        }
    }
    Ok(())
}

/// Offers a firmware to those of the devices that never had an update with it.
async fn offer(
    engine: &Engine,
    tenant: TenantId,
    firmware: &Firmware,
    devices: &[DeviceKey],
) -> Result<()> {
    let priority = if firmware.details.is_security_update {
        Priority::High
    } else {
        Priority::Normal
    };
    for chunk in devices.chunks(CHUNK) {
        let had = engine.store().had_offer(tenant, firmware.id, chunk).await?;
        let new: Vec<_> = chunk
            .iter()
            .copied()
            .filter(|key| !had.contains(key))
            .collect();
        if new.is_empty() {
            continue;
        }
        let offer = Offer {
            firmware: firmware.id,
            to_version: firmware.details.version.clone(),
            weight: priority.weight(),
            proof: Proof::Reported,
            terms: Terms::forced(TIMEOUT),
            now: engine.now(),
        };
        let made = engine
            .store()
            .create_updates(tenant, &new, &offer, false)
            .await?;
        let touched: Vec<_> = made
            .into_iter()
            .filter_map(|made| match made {
                Made::Update(_, touched) => Some(touched),
                _ => None,
            })
            .collect();
        devices::forget(engine, &touched);
    }
    Ok(())
}
