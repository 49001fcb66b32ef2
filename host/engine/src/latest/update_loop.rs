use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::{Priority, Targets},
    device_fields::DEVICE_FIELDS,
    firmware::Firmware,
    id::{DeviceKey, TenantId},
    plugin::ClassKey,
    selector::parse,
    update::{SuccessCriteria, UpdateOptions, UpdatePolicies},
};
use tokio::time::{Instant, sleep};
use tracing::Instrument as _;

use super::chooser::{FirmwareChooser, UPDATE_TIMEOUT};
use crate::{
    Engine, Error, Result, chain,
    compatibility::{DevicesByClass, classify},
    ports::{AcceptedClass, AcceptedClasses, Offer, OfferCompatibility, OfferResult},
};

/// Devices that may be offered a firmware automatically. A drifted device would be updated in circles; one with an open
/// update is busy.
const ELIGIBLE_DEVICES: &str = "mode==latest;pinned==false;drifted==false;state!=pending";
/// Devices that are offered a firmware in one transaction.
const BATCH_SIZE: usize = 1000;
/// Maximum duration of one round before the loop counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(10);

/// The loop that keeps devices in mode `latest` up to date. Runs until it is dropped, and is active at most a fifth of
/// the time.
pub async fn run_latest_loop(engine: Arc<Engine>) {
    let heartbeat = engine
        .health
        .register_loop("devices in mode latest", MAX_SILENCE);
    loop {
        let started = Instant::now();
        let iteration = async {
            if let Err(error) = process_dirty_tenants(&engine).await {
                tracing::warn!(error = %chain(&error), "cannot read which tenants have devices to update; retrying");
            }
        };
        heartbeat.run(iteration).await;
        sleep(engine.settings.tick_period.max(started.elapsed() * 4)).await;
    }
}

/// Processes every tenant that was marked dirty since it was last processed. If one fails, the others are processed
/// nevertheless.
pub async fn process_dirty_tenants(engine: &Engine) -> Result<()> {
    // An offer begins a deadline, which other servers compare with the time of the database.
    if !engine.clock.is_synchronized() {
        return Ok(());
    }
    let dirty = engine.store().dirty_tenants().await?;
    process_each(dirty, |tenant, revision| {
        process_tenant(engine, tenant, revision)
    })
    .await;
    Ok(())
}

/// Processes one tenant after another, each in a span of its own. A failure is logged there.
async fn process_each<F: Future<Output = Result<()>>>(
    dirty: Vec<(TenantId, i64)>,
    process: impl Fn(TenantId, i64) -> F,
) {
    for (tenant, revision) in dirty {
        let span = tracing::error_span!("latest_tenant", %tenant);
        let processing = async {
            if let Err(error) = process(tenant, revision).await {
                tracing::warn!(error = %chain(&error), "cannot update devices in mode latest; retrying");
            }
        };
        processing.instrument(span).await;
    }
}

/// Updates the tenant's devices, then clears its mark. A tenant that fails stays dirty.
async fn process_tenant(engine: &Engine, tenant: TenantId, revision: i64) -> Result<()> {
    update_tenant(engine, tenant).await?;
    Ok(engine.store().clear_dirty(tenant, revision).await?)
}

async fn update_tenant(engine: &Engine, tenant: TenantId) -> Result<()> {
    let Some(chooser) =
        FirmwareChooser::load(engine.store(), engine.plugins(), tenant, engine.now()).await?
    else {
        return Ok(());
    };
    let eligible = parse(ELIGIBLE_DEVICES, &DEVICE_FIELDS)
        .map_err(|error| Error::internal("parse the selector of eligible devices", error))?;
    let selected = engine
        .store()
        .select(
            tenant,
            &Targets::default(),
            Some(&eligible),
            None,
            &chooser.policies.attributes,
        )
        .await?;
    let DevicesByClass { classes, class_of } = classify(&selected, |_| ());
    let mut devices = vec![Vec::new(); classes.len()];
    for (device, class) in selected.iter().zip(class_of) {
        devices[class as usize].push(device.key);
    }
    let classes: Vec<_> = classes.into_iter().map(|((), class)| class).collect();
    let choices = chooser.choose(&classes).await?;
    let mut result = Ok(());
    for ((choice, class), devices) in choices.into_iter().zip(&classes).zip(devices) {
        if let Some(firmware) = choice.chosen {
            let attributes = &chooser.policies.attributes;
            let offered = offer(engine, tenant, &firmware, attributes, &class.key, &devices).await;
            match offered {
                Err(error @ Error::Unavailable { .. }) => return Err(error),
                // The other classes are offered their firmware; the tenant stays dirty.
                Err(error) => result = Err(error),
                Ok(()) => {}
            }
        }
    }
    result
}

/// Offers a firmware to those of the devices of a class that never had an update with it.
async fn offer(
    engine: &Engine,
    tenant: TenantId,
    firmware: &Firmware,
    attributes: &[String],
    class: &ClassKey,
    devices: &[DeviceKey],
) -> Result<()> {
    let priority = if firmware.details.is_security_update {
        Priority::High
    } else {
        Priority::Normal
    };
    for chunk in devices.chunks(BATCH_SIZE) {
        let previous = engine
            .store()
            .already_offered(tenant, firmware.id, chunk)
            .await?;
        let new: Vec<_> = chunk
            .iter()
            .copied()
            .filter(|key| !previous.contains(key))
            .collect();
        if new.is_empty() {
            continue;
        }
        let accepted = |key: &DeviceKey| {
            let accepted = AcceptedClass {
                class: class.clone(),
                at: engine.now(),
                intermediate: None,
            };
            (*key, accepted)
        };
        let offer = Offer {
            firmware: firmware.id,
            to_version: firmware.details.version.clone(),
            weight: priority.weight(),
            success_criteria: SuccessCriteria::Reported,
            options: UpdateOptions::forced(UPDATE_TIMEOUT),
            compatibility: OfferCompatibility {
                policies: Some(UpdatePolicies::Latest),
                attributes: attributes.to_vec(),
                accepted: AcceptedClasses::OfDevices(new.iter().map(accepted).collect()),
                path: None,
            },
            now: engine.now(),
        };
        let results = engine
            .store()
            .create_updates(tenant, &new, &offer, false, None)
            .await?;
        let affected: Vec<_> = results
            .into_iter()
            .filter_map(|results| match results {
                OfferResult::Created(_, affected) => Some(affected),
                _ => None,
            })
            .collect();
        engine.caches.invalidate_affected(&affected);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tidegate_captured_log::CapturedLog;

    use super::*;

    #[tokio::test]
    async fn a_tenant_that_fails_is_logged_and_stops_no_other() {
        let log = CapturedLog::start();
        let processed = RefCell::new(Vec::new());
        let dirty = [1, 2, 3].map(|number| (TenantId(number), 10 * number));
        process_each(dirty.into(), async |tenant, revision| {
            processed.borrow_mut().push((tenant, revision));
            if tenant == TenantId(2) {
                return Err(Error::not_found("policy", "latest"));
            }
            Ok(())
        })
        .await;
        assert_eq!(processed.into_inner(), dirty);
        let failures = log.events("cannot update devices in mode latest; retrying");
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert_eq!(failures[0]["error"], "there is no policy latest");
        assert_eq!(failures[0]["span"]["name"], "latest_tenant");
        assert_eq!(failures[0]["span"]["tenant"], "2");
    }
}
