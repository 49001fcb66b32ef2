use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use serde::Serialize;
use sqlx::any::AnyRow;
use strum::VariantArray as _;
use tidegate_core::{
    device::DeviceState,
    id::{DeviceKey, FirmwareId, TenantId, UpdateId},
    update::UpdateStatus,
};
use tidegate_engine::ports::{DeviceUpdate, PollView, StoreError};

use crate::{
    access::old_token,
    batcher::{Batch, BatchKind},
    database::{Database, LockWait, Tx},
    dialect::ColumnType,
    error::failed,
    maintenance_windows,
    rows::{RowError, RowExt as _, row_error, to_json},
    sql::{SqlText, literals},
    update_options::update_type,
};

/// The columns of a [`PollView`]: the device `d` and its visible update `u`.
const COLUMNS: &str = "d.tenant_id, d.id, d.device_id, d.token_sha256, d.old_token_sha256, \
     d.old_token_until, d.wants_attributes, d.state, d.installed_update_id, d.polling_seconds, \
     u.id AS open_id, u.status AS open_status, u.refusal AS open_refusal, u.revision AS open_revision, \
     u.firmware_id AS open_firmware_id, u.update_type AS open_type, u.forced_at AS open_forced_at, \
     u.maintenance_window AS open_window";

/// The update that a poll of device `d` shows: the open one with the highest weight, then the oldest. Updates that
/// wait for verification or for their retry time are not shown.
pub(super) fn visible_update() -> &'static str {
    static SQL: LazyLock<String> = LazyLock::new(|| {
        let open = UpdateStatus::VARIANTS.iter().copied();
        let hidden = open.filter(|status| status.is_open() && !status.is_offered_to_device());
        format!(
            "(SELECT o.id FROM updates o \
             WHERE o.tenant_id = d.tenant_id AND o.device_key = d.id AND o.completed_at IS NULL \
             AND o.status NOT IN ({}) ORDER BY o.weight DESC, o.id LIMIT 1)",
            literals(hidden)
        )
    });
    &SQL
}

/// Reads what polls need, of many devices in one statement.
pub(crate) struct PollViewBatch {
    pub(crate) database: Database,
}

/// A device by tenant and id; the id as it is stored.
pub(crate) type DeviceName = (TenantId, String);

impl Batch for PollViewBatch {
    type Item = DeviceName;
    type Output = Option<PollView>;
    const NAME: &'static str = "poll views";
    const KIND: BatchKind = BatchKind::Read;

    async fn execute(
        &self,
        items: &[DeviceName],
        _: LockWait,
    ) -> Result<Vec<Option<PollView>>, StoreError> {
        let rows = items.iter().map(|(tenant, device_id)| RequestedDevice {
            tenant_id: tenant.0,
            device_id,
        });
        let json = to_json(&rows.collect::<Vec<_>>())?;
        let mut tx = self.database.point_read().await?;
        let views = poll_views(&mut tx, &json).await?;
        Ok(items.iter().map(|name| views.get(name).cloned()).collect())
    }
}

#[derive(Serialize)]
struct RequestedDevice<'a> {
    tenant_id: i64,
    device_id: &'a str,
}

/// The poll views of the devices in a JSON array of tenants and ids.
pub(super) async fn poll_views(
    tx: &mut Tx,
    json: &str,
) -> Result<HashMap<DeviceName, PollView>, StoreError> {
    let rows = sqlx::query(POLL_VIEWS.of(tx.dialect()))
        .bind(json)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read poll views"))?;
    let named = |row: &AnyRow| {
        let tenant = TenantId(row.take("tenant_id")?);
        Ok(((tenant, row.take("device_id")?), view(row)?))
    };
    rows.iter()
        .map(named)
        .collect::<Result<_, _>>()
        .map_err(row_error("read device row"))
}

/// A cross join makes SQLite join in this order, instead of scanning all devices. The unary plus keeps the plan, which is
/// made while the tables are empty, from scanning all updates of the tenant.
pub(super) static POLL_VIEWS: SqlText = SqlText::new(|dialect| {
    let columns = [
        ("tenant_id", ColumnType::Int),
        ("device_id", ColumnType::Text),
    ];
    let requested_rows = dialect.json_rows("requested", "$1", &columns);
    format!(
        "SELECT {COLUMNS} FROM {requested_rows} CROSS JOIN devices d \
         LEFT JOIN updates u ON +u.tenant_id = d.tenant_id AND u.id = {} \
         WHERE d.tenant_id = requested.tenant_id AND d.device_id = requested.device_id",
        visible_update()
    )
});

fn view(row: &AnyRow) -> Result<PollView, RowError> {
    let state: DeviceState = row.parse("state")?;
    let open = row.take::<Option<i32>>("open_id")?;
    let open = open.map(|id| open_update(row, UpdateId(id))).transpose()?;
    Ok(PollView {
        device: DeviceKey(row.take("id")?),
        token_sha256: row.hex_optional("token_sha256")?,
        old_token: old_token(row)?,
        wants_attributes: row.flag("wants_attributes")?,
        is_unseen: state == DeviceState::Unknown,
        open: open.map(Arc::new),
        installed: row
            .take::<Option<i32>>("installed_update_id")?
            .map(UpdateId),
        polling_seconds: row.optional_u32("polling_seconds")?,
    })
}

fn open_update(row: &AnyRow, id: UpdateId) -> Result<DeviceUpdate, RowError> {
    Ok(DeviceUpdate {
        id,
        status: row.parse("open_status")?,
        refusal: row.parse_optional("open_refusal")?,
        revision: row.take("open_revision")?,
        firmware: FirmwareId(row.take("open_firmware_id")?),
        update_type: update_type(row.parse("open_type")?, row.take("open_forced_at")?)?,
        window: maintenance_windows::from_row(row, "open_window")?,
    })
}
