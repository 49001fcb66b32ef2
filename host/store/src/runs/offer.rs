use std::collections::BTreeSet;

use tidegate_core::{
    campaign::CampaignStatus,
    id::DeviceKey,
    update::{Attempt, Purpose, UpdateState},
};
use tidegate_engine::ports::{Fence, Offer, OfferedBatch, OfferedFirmware, RunRef, StoreError};

use super::{
    commit::commit,
    lease::{self, lock_if_fenced},
    members::{MemberRange, levels},
    skipped::{self, SkipRules, SkippedDevice},
};
use crate::{
    database::Database,
    tenant_counters::TenantCounters,
    updates::unit_of_work::{DeviceRow, NewUpdate, UpdateUnitOfWork, completed_at_creation},
};

/// Creates updates for the next `limit` released devices of a wave. Does nothing under a lost fence, or if the
/// campaign is not in progress. With `releases_lease`, the batch that has the last released device of the wave
/// ends the lease.
pub(crate) async fn offer_updates(
    database: &Database,
    run: RunRef,
    fence: Fence,
    wave: u32,
    limit: u32,
    offer: &Offer,
    releases_lease: bool,
) -> Result<OfferedBatch, StoreError> {
    let mut tx = database.write().await?;
    let Some(run_row) = lock_if_fenced(&mut tx, run, fence).await? else {
        return Ok(OfferedBatch::default());
    };
    let Some((admitted, released)) = levels(&mut tx, run, wave).await? else {
        return Ok(OfferedBatch::default());
    };
    let until = released.min(admitted + u64::from(limit));
    if run_row.status() != CampaignStatus::InProgress || until <= admitted {
        return Ok(OfferedBatch {
            affected: Vec::new(),
            remaining: released.saturating_sub(admitted),
            lease_released: false,
        });
    }
    let range = MemberRange::read(&mut tx, run, wave, admitted..until).await?;
    let members = range.devices();
    let devices: BTreeSet<DeviceKey> = members.iter().copied().collect();
    let mut work =
        UpdateUnitOfWork::open(&mut tx, run.tenant, &devices, &BTreeSet::new(), offer.now).await?;
    let mut tenant_counters = TenantCounters::default();
    let rules = SkipRules::load(&mut tx, run, &devices).await?;
    let attributes = offer.compatibility.attributes.iter().map(String::as_str);
    work.read_class_attributes(&mut tx, attributes).await?;
    let (mut new, mut skipped_devices) = (Vec::with_capacity(members.len()), Vec::new());
    for key in members {
        let Some(device) = work.device(*key) else {
            continue;
        };
        if let Some(reason) = rules.skip_reason(*key, device) {
            skipped_devices.push(SkippedDevice::new(*key, wave, reason));
            continue;
        }
        let offered = work.offered(*key, offer);
        new.push(new_update(run, wave, *key, device, offer, offered));
    }
    // Includes devices that were deleted.
    let skipped_count = members.len() - new.len();
    skipped::insert(&mut tx, run, &skipped_devices, offer.now).await?;
    work.create_updates(&mut tx, new, &mut tenant_counters)
        .await?;
    work.count_admitted(run.campaign, wave, until - admitted, skipped_count as u64);
    let lease_released = releases_lease && until == released;
    if lease_released {
        lease::end(&mut tx, run, fence).await?;
    }
    let affected = commit(tx, run, work, tenant_counters, members.iter().copied()).await?;
    Ok(OfferedBatch {
        affected,
        remaining: released - until,
        lease_released,
    })
}

/// The update that a campaign creates for a device. It is completed at creation if the device has the campaign's firmware
/// and has not drifted.
pub(super) fn new_update(
    run: RunRef,
    wave: u32,
    key: DeviceKey,
    device: &DeviceRow,
    offer: &Offer,
    offered: OfferedFirmware,
) -> NewUpdate {
    let state = UpdateState::offered(offer.success_criteria, offer.options.clone(), offer.now);
    let has_it = offered.firmware == offer.firmware
        && device.installed_firmware == Some(offer.firmware)
        && device.drifted_at.is_none();
    NewUpdate {
        device: key,
        firmware: offered.firmware,
        campaign: Some((run.campaign, Purpose::Forward { wave })),
        weight: offer.weight,
        to_version: offered.to_version,
        state: if has_it {
            completed_at_creation(state, offer.now)
        } else {
            state
        },
        created_at: offer.now,
        attempt: Attempt::default(),
        compatibility: offered.compatibility,
        authorship: None,
    }
}
