//! Devices that a campaign selected after its start, because its plan is dynamic.

use std::collections::{BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use tidegate_core::{id::DeviceKey, time::Timestamp};
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
};

const READ: &str = "read the late devices of a campaign";

/// A row of `late_devices`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateDeviceRow {
    /// Index of the device class.
    pub(crate) class: u32,
    /// The position in the last wave, counted from 0; `None`: the class is excluded.
    pub(crate) position: Option<u64>,
    pub(crate) at: Timestamp,
}

/// Those of these devices that the campaign selected after its start.
pub(crate) async fn late_devices(
    tx: &mut Tx,
    run: RunRef,
    devices: &BTreeSet<DeviceKey>,
) -> Result<HashMap<DeviceKey, LateDeviceRow>, StoreError> {
    let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
    let which = tx.dialect().key_in_json("device_key", "$3");
    let sql = format!(
        "SELECT device_key, class, position, at FROM late_devices \
         WHERE tenant_id = $1 AND campaign_id = $2 AND {which}"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .bind(to_json(&keys)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let rows = rows.iter().map(|row| {
        let position: Option<i64> = row.take("position")?;
        let late = LateDeviceRow {
            class: class_index(row.take("class")?)?,
            position: position.map(i64::unsigned_abs),
            at: Timestamp(row.take("at")?),
        };
        Ok((DeviceKey(row.take("device_key")?), late))
    });
    rows.collect::<Result<_, _>>().map_err(row_error(READ))
}

/// The number of a class.
pub(crate) fn class_index(value: i64) -> Result<u32, RowError> {
    let column = "class";
    u32::try_from(value).map_err(|_| RowError::OutOfRange { column, value })
}

/// The wave that late devices join.
pub(crate) struct LastWave {
    pub(crate) index: u32,
    pub(crate) size: u64,
}

/// The last wave of a campaign that has started.
pub(crate) async fn last_wave(tx: &mut Tx, run: RunRef) -> Result<LastWave, StoreError> {
    const READ: &str = "read the last wave of a campaign";
    let row = sqlx::query(
        "SELECT wave, size FROM waves WHERE tenant_id = $1 AND campaign_id = $2 ORDER BY wave DESC LIMIT 1",
    )
    .bind(run.tenant.0)
    .bind(run.campaign.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    let read = || {
        let value: i64 = row.take("wave")?;
        let index = u32::try_from(value).map_err(|_| RowError::OutOfRange {
            column: "wave",
            value,
        })?;
        let size = row.count("size")?;
        Ok::<_, RowError>(LastWave { index, size })
    };
    read().map_err(row_error(READ))
}
