use serde::Serialize;
use tidegate_core::id::TenantId;
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    dialect::{ColumnType, Dialect},
    error::failed,
    rows::to_json,
    sql::SqlText,
};

/// A row to write, which serde serialises as an object of its columns.
pub(super) trait UpdatableRow: Serialize {
    const TABLE: &'static str;
    /// The context of errors.
    const CONTEXT: &'static str;
    /// The written columns, without `id`.
    const COLUMNS: &'static [(&'static str, ColumnType)];

    fn id(&self) -> i64;

    /// [`update_sql`] of this type.
    fn update_text() -> &'static SqlText;
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
    let ids: Vec<_> = rows.iter().map(R::id).collect();
    sqlx::query(R::update_text().of(tx.dialect()))
        .bind(tenant.0)
        .bind(to_json(&rows)?)
        .bind(to_json(&ids)?)
        .execute(tx.conn())
        .await
        .map_err(failed(R::CONTEXT))?;
    Ok(())
}

/// Updates the rows of the tenant `$1` as in the JSON `$2`, whose ids are `$3`.
pub(super) fn update_sql<R: UpdatableRow>(dialect: Dialect) -> String {
    let table = R::TABLE;
    let all: Vec<_> = std::iter::once(("id", ColumnType::Int))
        .chain(R::COLUMNS.iter().copied())
        .collect();
    let from = dialect.json_rows("n", "$2", &all);
    let written: Vec<_> = R::COLUMNS
        .iter()
        .map(|(column, _)| format!("{column} = n.{column}"))
        .collect();
    let written = written.join(", ");
    let which = dialect.joined_key_in_json(&format!("{table}.id"), "$3");
    // The unary plus keeps SQLite from scanning all rows of the tenant.
    format!(
        "UPDATE {table} SET {written} FROM {from} \
         WHERE +{table}.tenant_id = $1 AND {table}.id = n.id AND {which}"
    )
}
