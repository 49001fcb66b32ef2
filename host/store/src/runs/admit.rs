use std::collections::BTreeSet;

use sqlx::Row as _;
use tidegate_core::{
    campaign::CampaignStatus,
    id::DeviceKey,
    update::{Progress, Purpose, Try},
};
use tidegate_engine::ports::{Admitted, Fence, Offer, RunRef, StoreError};

use super::{
    lease::under,
    passed_over::{self, Judge, Passed},
};
use crate::{
    database::{Database, Tx},
    error::{failed, internal},
    packed::{MEMBERS_PER_CHUNK, unpack_keys},
    rows::{BadRow, Columns as _, bad_row, number},
    tallies::Tallies,
    updates::ledger::{DeviceRow, Ledger, NewUpdate, announce_touched, done_at_once},
};

const ADMIT: &str = "admit devices";

/// Makes updates for released devices that have none yet: the next `limit` of this wave. Under a lost fence, and for a
/// campaign that is not in progress, it does nothing.
pub(super) async fn admit(
    database: &Database,
    run: RunRef,
    fence: Fence,
    wave: u32,
    limit: u32,
    offer: &Offer,
) -> Result<Admitted, StoreError> {
    let mut tx = database.write().await?;
    let Some(standing) = under(&mut tx, run, fence).await? else {
        return Ok(Admitted::default());
    };
    let Some((admitted, released)) = levels(&mut tx, run, wave).await? else {
        return Ok(Admitted::default());
    };
    let until = released.min(admitted + u64::from(limit));
    if standing.status() != CampaignStatus::InProgress || until <= admitted {
        return Ok(Admitted {
            touched: Vec::new(),
            left: released.saturating_sub(admitted),
        });
    }
    let members = members(&mut tx, run, wave, admitted, until).await?;
    let devices: BTreeSet<DeviceKey> = members.iter().copied().collect();
    let mut ledger =
        Ledger::open(&mut tx, run.tenant, &devices, &BTreeSet::new(), offer.now).await?;
    let mut tallies = Tallies::default();
    let judge = Judge::of(&mut tx, run, &devices).await?;
    let (mut new, mut passed) = (Vec::with_capacity(members.len()), Vec::new());
    for key in &members {
        let Some(device) = ledger.device(*key) else {
            continue;
        };
        match judge.passes_over(*key, device) {
            Some(reason) => passed.push(Passed::new(*key, wave, reason)),
            None => new.push(offered(run, wave, *key, device, offer)),
        }
    }
    // Those that are not there any more are among them.
    let left_out = members.len() - new.len();
    passed_over::insert(&mut tx, run, &passed, offer.now).await?;
    ledger.make(&mut tx, new, &mut tallies).await?;
    ledger.admitted(run.campaign, wave, until - admitted, left_out as u64);
    let touched: Vec<_> = members
        .iter()
        .filter_map(|key| ledger.touched(*key, Some(run.campaign)))
        .collect();
    announce_touched(&mut tx, &touched).await?;
    ledger.write(&mut tx, &mut tallies).await?;
    tallies.write(&mut tx).await?;
    tx.commit().await?;
    Ok(Admitted {
        touched,
        left: released - until,
    })
}

/// What a campaign offers to a device. One that has the firmware is done at once, unless it says that it does not.
pub(super) fn offered(
    run: RunRef,
    wave: u32,
    key: DeviceKey,
    device: &DeviceRow,
    offer: &Offer,
) -> NewUpdate {
    let progress = Progress::offered(offer.proof, offer.terms.clone(), offer.now);
    let has_it = device.installed_firmware == Some(offer.firmware) && device.drifted_at.is_none();
    NewUpdate {
        device: key,
        firmware: offer.firmware,
        campaign: Some((run.campaign, Purpose::Forward { wave })),
        weight: offer.weight,
        to_version: offer.to_version.clone(),
        progress: if has_it {
            done_at_once(progress, offer.now)
        } else {
            progress
        },
        created_at: offer.now,
        attempt: Try::default(),
    }
}

/// How many of a wave's devices are admitted and how many are released.
async fn levels(tx: &mut Tx, run: RunRef, wave: u32) -> Result<Option<(u64, u64)>, StoreError> {
    let row = sqlx::query(
        "SELECT admitted, released FROM waves WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(wave))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(ADMIT))?;
    let Some(row) = row else { return Ok(None) };
    let read = || Ok::<_, BadRow>((row.count("admitted")?, row.count("released")?));
    read().map(Some).map_err(bad_row(ADMIT))
}

/// The members of a wave from one place to another.
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
    .bind(number(first))
    .bind(number((until - 1) / per_chunk))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(ADMIT))?;
    let mut members = Vec::with_capacity(rows.len() * MEMBERS_PER_CHUNK);
    for row in &rows {
        let blob: &[u8] = row.try_get("members").map_err(failed(ADMIT))?;
        members.extend(unpack_keys(blob).map_err(|error| internal(ADMIT)(Box::new(error)))?);
    }
    let offset = first * per_chunk;
    members
        .get((from - offset) as usize..(until - offset) as usize)
        .map(<[DeviceKey]>::to_vec)
        .ok_or_else(|| internal(ADMIT)("a wave has fewer members than its size".into()))
}
