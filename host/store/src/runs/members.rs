//! The devices of a wave, in the order in which they are offered the update.

use std::ops::Range;

use sqlx::Row as _;
use tidegate_core::id::DeviceKey;
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    blob::{MEMBERS_PER_CHUNK, pack_keys, unpack_keys},
    database::Tx,
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error, to_i64},
};

const READ: &str = "read the devices of a wave";

/// The numbers of admitted and of released devices of a wave.
pub(super) async fn levels(
    tx: &mut Tx,
    run: RunRef,
    wave: u32,
) -> Result<Option<(u64, u64)>, StoreError> {
    let row = sqlx::query(
        "SELECT admitted, released FROM waves WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .bind(i64::from(wave))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let Some(row) = row else { return Ok(None) };
    let read = || Ok::<_, RowError>((row.count("admitted")?, row.count("released")?));
    read().map(Some).map_err(row_error(READ))
}

/// The devices in a range of positions of a wave.
pub(super) struct MemberRange {
    /// The first chunk.
    first: u64,
    /// The devices of all chunks that have positions of the range.
    chunks: Vec<DeviceKey>,
    /// The range, as indices of `chunks`.
    range: Range<usize>,
}

impl MemberRange {
    /// Reads the devices from one position until before another one, which is greater.
    pub(super) async fn read(
        tx: &mut Tx,
        run: RunRef,
        wave: u32,
        positions: Range<u64>,
    ) -> Result<Self, StoreError> {
        let per_chunk = MEMBERS_PER_CHUNK as u64;
        let first = positions.start / per_chunk;
        let rows = sqlx::query(
            "SELECT members FROM wave_members WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3 \
             AND chunk >= $4 AND chunk <= $5 ORDER BY chunk",
        )
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(i64::from(wave))
        .bind(to_i64(first))
        .bind(to_i64((positions.end - 1) / per_chunk))
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
        let mut chunks = Vec::with_capacity(rows.len() * MEMBERS_PER_CHUNK);
        for row in &rows {
            let blob: &[u8] = row.try_get("members").map_err(failed(READ))?;
            chunks.extend(unpack_keys(blob).map_err(|error| internal(READ)(Box::new(error)))?);
        }
        let offset = first * per_chunk;
        let range = (positions.start - offset) as usize..(positions.end - offset) as usize;
        if range.end > chunks.len() {
            return Err(internal(READ)(
                "a wave has fewer members than its size".into(),
            ));
        }
        Ok(Self {
            first,
            chunks,
            range,
        })
    }

    pub(super) fn devices(&self) -> &[DeviceKey] {
        &self.chunks[self.range.clone()]
    }

    /// Sorts the devices by their keys and writes them.
    pub(super) async fn sort(
        mut self,
        tx: &mut Tx,
        run: RunRef,
        wave: u32,
    ) -> Result<(), StoreError> {
        self.chunks[self.range].sort_unstable();
        for (chunk, members) in (self.first..).zip(self.chunks.chunks(MEMBERS_PER_CHUNK)) {
            sqlx::query(
                "UPDATE wave_members SET members = $5 \
                 WHERE tenant_id = $1 AND campaign_id = $2 AND wave = $3 AND chunk = $4",
            )
            .bind(run.tenant.0)
            .bind(run.campaign.0)
            .bind(i64::from(wave))
            .bind(to_i64(chunk))
            .bind(pack_keys(members))
            .execute(tx.conn())
            .await
            .map_err(failed("sort the devices of a wave"))?;
        }
        Ok(())
    }
}
