//! When credentials were last used.

use std::cmp::Reverse;

use serde::Serialize;
use sqlx::AssertSqlSafe;
use tidegate_core::{id::TenantId, time::Timestamp};
use tidegate_engine::ports::StoreError;

use crate::{database::Database, dialect::ColumnType, error::failed, rows::to_json};

/// A table of credentials with the column `last_used`.
pub(crate) struct CredentialTable {
    pub(crate) name: &'static str,
    /// The column that identifies a credential within its tenant.
    pub(crate) key: (&'static str, ColumnType),
    /// The context of errors.
    pub(crate) context: &'static str,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct UseRow<K> {
    tenant_id: i64,
    credential: K,
    at: Reverse<i64>,
}

/// Records when credentials were last used; a later time is kept.
pub(crate) async fn record<K: Ord + Serialize>(
    database: &Database,
    table: &CredentialTable,
    uses: impl Iterator<Item = (TenantId, K, Timestamp)>,
) -> Result<(), StoreError> {
    let mut rows: Vec<_> = uses
        .map(|(tenant, credential, at)| UseRow {
            tenant_id: tenant.0,
            credential,
            at: Reverse(at.0),
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    // A fixed order prevents deadlocks between servers. The latest use of each credential comes first and stays.
    rows.sort_unstable();
    rows.dedup_by(|row, latest| {
        (row.tenant_id, &row.credential) == (latest.tenant_id, &latest.credential)
    });
    let (name, (key, key_type)) = (table.name, table.key);
    let columns = [
        ("tenant_id", ColumnType::Int),
        ("credential", key_type),
        ("at", ColumnType::Int),
    ];
    let from = database.dialect().json_rows("used", "$1", &columns);
    let sql = format!(
        "UPDATE {name} SET last_used = used.at FROM {from} \
         WHERE {name}.tenant_id = used.tenant_id AND {name}.{key} = used.credential \
         AND ({name}.last_used IS NULL OR {name}.last_used < used.at)"
    );
    let mut tx = database.write().await?;
    sqlx::query(AssertSqlSafe(sql))
        .bind(to_json(&rows)?)
        .execute(tx.conn())
        .await
        .map_err(failed(table.context))?;
    tx.commit().await
}
