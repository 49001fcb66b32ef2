//! Devices that turn out to run the firmware of a campaign after its rollback processed their update.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::AssertSqlSafe;
use tidegate_core::id::{DeviceKey, TenantId, UpdateId};
use tidegate_engine::ports::StoreError;

use super::unit_of_work::UpdateUnitOfWork;
use crate::{
    database::Tx,
    error::failed,
    rows::{RowExt as _, row_error, to_json},
};

/// Returns the newest update of each of these devices to the rollback backlog of its campaign, if a rollback processed it
/// and it would have installed the version that the device reports now. The caller knows that no update explains that
/// version, so this is rare.
pub(super) async fn reopen(
    tx: &mut Tx,
    tenant: TenantId,
    work: &mut UpdateUnitOfWork,
    reported: &BTreeMap<DeviceKey, String>,
) -> Result<(), StoreError> {
    const READ: &str = "read the newest updates of devices";
    if reported.is_empty() {
        return Ok(());
    }
    let keys: Vec<i64> = reported.keys().map(|key| key.0).collect();
    let which = tx.dialect().key_in_json("device_key", "$2");
    let sql = format!(
        "SELECT MAX(id) AS id FROM updates WHERE tenant_id = $1 AND {which} GROUP BY device_key"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&keys)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let newest = rows.iter().map(|row| Ok(UpdateId(row.take("id")?)));
    let newest: BTreeSet<UpdateId> = newest.collect::<Result<_, _>>().map_err(row_error(READ))?;
    work.load_ended(tx, &newest).await?;
    for id in newest {
        work.reopen_rollback(id, reported);
    }
    Ok(())
}
