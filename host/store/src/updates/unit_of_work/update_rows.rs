use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::id::TenantId;
use tidegate_engine::ports::StoreError;

use crate::{database::Tx, dialect::ColumnType, error::failed, rows::to_json};

/// A row to write, which serde serialises as an object of its columns.
pub(super) trait UpdatableRow: Serialize {
    const TABLE: &'static str;
    /// The context of errors.
    const CONTEXT: &'static str;
    /// The written columns, without `id`.
    const COLUMNS: &'static [(&'static str, ColumnType)];

    fn id(&self) -> i64;
}

/// Updates the rows of these ids in one statement.
pub(super) async fn update_rows<R: UpdatableRow>(
    tx: &mut Tx,
    tenant: TenantId,
    rows: &[R],
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let table = R::TABLE;
    let all: Vec<_> = std::iter::once(("id", ColumnType::Int))
        .chain(R::COLUMNS.iter().copied())
        .collect();
    let from = tx.dialect().json_rows("n", "$2", &all);
    let written: Vec<_> = R::COLUMNS
        .iter()
        .map(|(column, _)| format!("{column} = n.{column}"))
        .collect();
    let written = written.join(", ");
    let which = tx
        .dialect()
        .joined_key_in_json(&format!("{table}.id"), "$3");
    let ids: Vec<_> = rows.iter().map(R::id).collect();
    // The unary plus keeps SQLite from scanning all rows of the tenant.
    let sql = format!(
        "UPDATE {table} SET {written} FROM {from} \
         WHERE +{table}.tenant_id = $1 AND {table}.id = n.id AND {which}"
    );
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&rows)?)
        .bind(to_json(&ids)?)
        .execute(tx.conn())
        .await
        .map_err(failed(R::CONTEXT))?;
    Ok(())
}
