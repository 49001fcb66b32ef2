use std::collections::HashMap;

use serde::Serialize;
use sqlx::any::AnyRow;
use tidegate_core::id::{TenantId, UpdateId};
use tidegate_engine::ports::{Page, PageRequest, StoreError, UpdateFilter, UpdateRow};

use super::{
    approvals::{self, COLUMNS as APPROVAL_COLUMNS},
    authorship,
    row::{StoredRow, UpdateRecord},
};
use crate::{
    batcher::{Batch, BatchKind},
    database::{Database, LockWait, Tx},
    dialect::ColumnType,
    error::failed,
    json_row::JsonRow as _,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    sql::{Parameters, SqlText, literal},
};

const READ: &str = "read updates";

/// Statements that use it have a condition on the tenant of `u`.
const TABLES: &str = "updates u \
    JOIN devices d ON d.tenant_id = u.tenant_id AND d.id = u.device_key \
    JOIN firmware f ON f.tenant_id = u.tenant_id AND f.id = u.firmware_id \
    LEFT JOIN update_approvals a ON a.tenant_id = u.tenant_id AND a.id = u.approval_id";

/// Reads updates by their ids, many in one statement.
pub(crate) struct UpdateBatch {
    pub(crate) database: Database,
}

impl Batch for UpdateBatch {
    type Item = (TenantId, UpdateId);
    type Output = Option<UpdateRow>;
    const NAME: &'static str = "updates";
    const KIND: BatchKind = BatchKind::Read;

    async fn execute(
        &self,
        items: &[(TenantId, UpdateId)],
        _: LockWait,
    ) -> Result<Vec<Option<UpdateRow>>, StoreError> {
        // The unary plus keeps the plan, which is made while the tables are empty, from scanning all updates of the tenant.
        static SQL: SqlText = SqlText::new(|dialect| {
            let requested = [("tenant_id", ColumnType::Int), ("id", ColumnType::Int)];
            let requested = dialect.json_rows("requested", "$1", &requested);
            let columns = StoredRow::select(dialect, "u");
            format!(
                "SELECT {columns} AS fields, u.authorship, {APPROVAL_COLUMNS}, d.device_id AS device_name, f.name AS firmware_name \
                 FROM {requested} CROSS JOIN {TABLES} \
                 WHERE +u.tenant_id = requested.tenant_id AND u.id = requested.id"
            )
        });

        let rows = items.iter().map(|(tenant, id)| RequestedUpdate {
            tenant_id: tenant.0,
            id: id.0,
        });
        let json = to_json(&rows.collect::<Vec<_>>())?;
        let mut tx = self.database.point_read().await?;
        let rows = sqlx::query(SQL.of(tx.dialect()))
            .bind(json)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
        let stopped_ms = tx.stopped_ms();
        let named = |row: &AnyRow| {
            let row = from_row(row, stopped_ms)?;
            Ok(((row.update.tenant, row.update.id), row))
        };
        let rows: HashMap<_, _> = rows
            .iter()
            .map(named)
            .collect::<Result<_, _>>()
            .map_err(row_error(READ))?;
        Ok(items.iter().map(|name| rows.get(name).cloned()).collect())
    }
}

#[derive(Serialize)]
struct RequestedUpdate {
    tenant_id: i64,
    id: i32,
}

/// A page of updates, newest first.
pub(crate) async fn page(
    tx: &mut Tx,
    tenant: TenantId,
    filter: UpdateFilter,
    page: PageRequest,
) -> Result<Page<UpdateRow>, StoreError> {
    let (parameters, conditions) = conditions(tenant, filter);
    let sql = format!("SELECT COUNT(*) AS total FROM updates u WHERE u.tenant_id = $1{conditions}");
    let row = parameters
        .query(sql)?
        .fetch_one(tx.conn())
        .await
        .map_err(failed("count updates"))?;
    let total = row.count("total").map_err(row_error("count updates"))?;
    let (mut parameters, conditions) = self::conditions(tenant, filter);
    let limit = parameters.bind(i64::from(page.limit));
    let offset = parameters.bind(to_i64(page.offset));
    let columns = StoredRow::select(tx.dialect(), "u");
    let sql = format!(
        "SELECT {columns} AS fields, u.authorship, {APPROVAL_COLUMNS}, d.device_id AS device_name, f.name AS firmware_name FROM {TABLES} \
         WHERE u.tenant_id = $1{conditions} ORDER BY u.id DESC LIMIT {limit} OFFSET {offset}"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let stopped_ms = tx.stopped_ms();
    let items = rows.iter().map(|row| from_row(row, stopped_ms));
    let items: Result<_, _> = items.collect();
    Ok(Page {
        items: items.map_err(row_error(READ))?,
        total,
    })
}

/// The conditions of a filter. The tenant is the first parameter.
fn conditions(tenant: TenantId, filter: UpdateFilter) -> (Parameters, String) {
    let mut parameters = Parameters::default();
    parameters.bind(tenant.0);
    let mut equal = |column, id: Option<i64>| match id {
        Some(id) => format!(" AND u.{column} = {}", parameters.bind(id)),
        None => String::new(),
    };
    let campaign = equal("campaign_id", filter.campaign.map(|id| id.0));
    let device = equal("device_key", filter.device.map(|key| key.0));
    // In the text, because it is that of a partial index.
    let status = filter.status.map(literal);
    let status = status.map_or_else(String::new, |status| format!(" AND u.status = {status}"));
    (parameters, campaign + &device + &status)
}

fn from_row(row: &AnyRow, stopped_ms: i64) -> Result<UpdateRow, RowError> {
    let stored = UpdateRecord::new(StoredRow::read(row, "fields")?, stopped_ms)?;
    Ok(UpdateRow {
        update: stored.update,
        device_id: row.take("device_name")?,
        firmware_name: row.take("firmware_name")?,
        revision: stored.revision,
        approval: approvals::from_row(row)?,
        authorship: authorship::from_row(row)?,
    })
}
