use std::collections::BTreeSet;

use sqlx::Row as _;
use tidegate_core::{
    campaign::CampaignStatus,
    id::DeviceKey,
    update::{Attempt, CompatibilityBasis, Purpose, UpdateState},
};
use tidegate_engine::ports::{Fence, Offer, OfferedBatch, RunRef, StoreError};

use super::{
    commit::commit,
    lease::lock_if_fenced,
    skipped::{self, SkipRules, SkippedDevice},
};
use crate::{
    blob::{MEMBERS_PER_CHUNK, unpack_keys},
    database::{Database, Tx},
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error, to_i64},
    tenant_counters::TenantCounters,
    updates::unit_of_work::{DeviceRow, NewUpdate, UpdateUnitOfWork, completed_at_creation},
};

const OFFER: &str = "offer updates";

/// Creates updates for the next `limit` released devices of a wave. Does nothing under a lost fence, or if the
/// campaign is not in progress.
pub(crate) async fn offer_updates(
    database: &Database,
    run: RunRef,
    fence: Fence,
    wave: u32,
    limit: u32,
    offer: &Offer,
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
        });
    }
    let members = members(&mut tx, run, wave, admitted, until).await?;
    let devices: BTreeSet<DeviceKey> = members.iter().copied().collect();
    let mut work =
        UpdateUnitOfWork::open(&mut tx, run.tenant, &devices, &BTreeSet::new(), offer.now).await?;
    let mut tenant_counters = TenantCounters::default();
    let rules = SkipRules::load(&mut tx, run, &devices).await?;
    let attributes = offer.compatibility.attributes.iter().map(String::as_str);
    work.read_class_attributes(&mut tx, attributes).await?;
    let (mut new, mut skipped_devices) = (Vec::with_capacity(members.len()), Vec::new());
    for key in &members {
        let Some(device) = work.device(*key) else {
            continue;
        };
        if let Some(reason) = rules.skip_reason(*key, device) {
            skipped_devices.push(SkippedDevice::new(*key, wave, reason));
            continue;
        }
        let compatibility = work.basis(*key, &offer.compatibility);
        new.push(new_update(run, wave, *key, device, offer, compatibility));
    }
    // Includes devices that were deleted.
    let skipped_count = members.len() - new.len();
    skipped::insert(&mut tx, run, &skipped_devices, offer.now).await?;
    work.create_updates(&mut tx, new, &mut tenant_counters)
        .await?;
    work.count_admitted(run.campaign, wave, until - admitted, skipped_count as u64);
    let affected = commit(tx, run, work, tenant_counters, members).await?;
    Ok(OfferedBatch {
        affected,
        remaining: released - until,
    })
}

/// The update that a campaign creates for a device. It is completed at creation if the device has the firmware and
/// has not drifted.
pub(super) fn new_update(
    run: RunRef,
    wave: u32,
    key: DeviceKey,
    device: &DeviceRow,
    offer: &Offer,
    compatibility: Option<CompatibilityBasis>,
) -> NewUpdate {
    let state = UpdateState::offered(offer.success_criteria, offer.options.clone(), offer.now);
    let has_it = device.installed_firmware == Some(offer.firmware) && device.drifted_at.is_none();
    NewUpdate {
        device: key,
        firmware: offer.firmware,
        campaign: Some((run.campaign, Purpose::Forward { wave })),
        weight: offer.weight,
        to_version: offer.to_version.clone(),
        state: if has_it {
            completed_at_creation(state, offer.now)
        } else {
            state
        },
        created_at: offer.now,
        attempt: Attempt::default(),
        compatibility,
        authorship: None,
    }
}

/// The numbers of admitted and of released devices of a wave.
async fn levels(tx: &mut Tx, run: RunRef, wave: u32) -> Result<Option<(u64, u64)>, StoreError> {
    let row = sqlx::query(
        "SELECT admitted, released FROM waves WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(wave))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(OFFER))?;
    let Some(row) = row else { return Ok(None) };
    let read = || Ok::<_, RowError>((row.count("admitted")?, row.count("released")?));
    read().map(Some).map_err(row_error(OFFER))
}

/// The members of a wave in a range of positions.
async fn members(
    tx: &mut Tx,
    run: RunRef,
    wave: u32,
    from: u64,
    until: u64,
) -> Result<Vec<DeviceKey>, StoreError> {
    let per_chunk = MEMBERS_PER_CHUNK as u64;
    let first = from / per_chunk;
    let rows = sqlx::query(
        "SELECT members FROM wave_members WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3 \
         AND chunk >= $4 AND chunk <= $5 ORDER BY chunk",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(wave))
    .bind(to_i64(first))
    .bind(to_i64((until - 1) / per_chunk))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(OFFER))?;
    let mut members = Vec::with_capacity(rows.len() * MEMBERS_PER_CHUNK);
    for row in &rows {
        let blob: &[u8] = row.try_get("members").map_err(failed(OFFER))?;
        members.extend(unpack_keys(blob).map_err(|error| internal(OFFER)(Box::new(error)))?);
    }
    let offset = first * per_chunk;
    members
        .get((from - offset) as usize..(until - offset) as usize)
        .map(<[DeviceKey]>::to_vec)
        .ok_or_else(|| internal(OFFER)("a wave has fewer members than its size".into()))
}
