//! Plugins and their revisions.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    id::{Digest, TenantId},
    plugin::{Description, PluginKind, PluginName},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{NewRevision, Revision, StoreError, Usage},
};

use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::failed,
    latest::mark_dirty,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
};

#[cfg(test)]
pub(crate) mod tests;

/// The columns of a revision `r` of a plugin `p`.
const COLUMNS: &str = "r.plugin, p.kind, r.digest, r.contract, r.version, r.summary, \
     r.config_schema, r.state_schema, r.metrics, r.attributes, r.size, r.origin, r.created_by, \
     r.created_at, r.enabled, r.calls, r.failures, r.fuel";

pub(crate) async fn put_revision(
    database: &Database,
    ctx: &Ctx,
    revision: NewRevision,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    let kind = put_plugin(&mut tx, ctx.tenant, &revision).await?;
    if kind != revision.kind {
        return Err(StoreError::Conflict(format!(
            "plugin {} exists with the kind `{}`, which cannot change",
            revision.description.name,
            kind.as_str()
        )));
    }
    if insert(&mut tx, ctx.tenant, &revision).await? {
        let after = json!({
            "plugin": revision.description.name.to_string(),
            "version": revision.description.version,
            "kind": revision.kind.as_str(),
        });
        let entry = AuditEntry::new("plugin.upload", revision.digest, Value::Null, after);
        audit::record(&mut tx, ctx, entry).await?;
        if revision.kind == PluginKind::Compatibility {
            mark_dirty(&mut tx, ctx.tenant).await?;
        }
    }
    tx.commit().await
}

pub(crate) async fn revisions(
    database: &Database,
    tenant: TenantId,
) -> Result<Vec<Revision>, StoreError> {
    let mut tx = database.read_single().await?;
    let sql = format!(
        "SELECT {COLUMNS} FROM plugin_revisions r \
         JOIN plugins p ON p.tenant_id = r.tenant_id AND p.name = r.plugin \
         WHERE r.tenant_id = $1 ORDER BY r.plugin, r.created_at DESC, r.id DESC"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read plugin revisions"))?;
    rows.iter()
        .map(revision_from_row)
        .collect::<Result<_, _>>()
        .map_err(row_error("read plugin revision row"))
}

pub(crate) async fn revision(
    database: &Database,
    tenant: TenantId,
    plugin: &PluginName,
    digest: Option<Digest>,
) -> Result<Option<Revision>, StoreError> {
    let mut tx = database.read_single().await?;
    let sql = format!(
        "SELECT {COLUMNS} FROM plugin_revisions r \
         JOIN plugins p ON p.tenant_id = r.tenant_id AND p.name = r.plugin \
         WHERE r.tenant_id = $1 AND r.plugin = $2 \
         AND (r.digest = $3 OR ($3 IS NULL AND r.enabled = 1)) \
         ORDER BY r.created_at DESC, r.id DESC LIMIT 1"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(plugin.to_string())
        .bind(digest.map(|digest| digest.to_string()))
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a plugin revision"))?;
    row.map(|row| revision_from_row(&row))
        .transpose()
        .map_err(row_error("read plugin revision row"))
}

pub(crate) async fn enable_revision(
    database: &Database,
    ctx: &Ctx,
    plugin: &PluginName,
    digest: Digest,
    enabled: bool,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let done = sqlx::query(
        "UPDATE plugin_revisions SET enabled = $4 \
         WHERE tenant_id = $1 AND plugin = $2 AND digest = $3 AND enabled <> $4",
    )
    .bind(ctx.tenant.0)
    .bind(plugin.to_string())
    .bind(digest.to_string())
    .bind(i32::from(enabled))
    .execute(tx.conn())
    .await
    .map_err(failed("enable a plugin revision"))?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let action = if enabled {
        "plugin.enable"
    } else {
        "plugin.disable"
    };
    let state = |enabled: bool| json!({ "plugin": plugin.to_string(), "enabled": enabled });
    let entry = AuditEntry::of_difference(action, digest, state(!enabled), state(enabled));
    audit::record(&mut tx, ctx, entry).await?;
    if enabled {
        mark_dirty(&mut tx, ctx.tenant).await?;
    }
    tx.commit().await?;
    Ok(true)
}

pub(crate) async fn record_plugin_usage(
    database: &Database,
    tenant: TenantId,
    usage: Vec<(Digest, Usage)>,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    add_usage(&mut tx, tenant, &usage).await?;
    tx.commit().await
}

/// Creates the plugin if it does not exist; returns its kind.
async fn put_plugin(
    tx: &mut Tx,
    tenant: TenantId,
    revision: &NewRevision,
) -> Result<PluginKind, StoreError> {
    let name = revision.description.name.to_string();
    sqlx::query(
        "INSERT INTO plugins (tenant_id, name, kind) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant_id, name) DO NOTHING",
    )
    .bind(tenant.0)
    .bind(&name)
    .bind(revision.kind.as_str())
    .execute(tx.conn())
    .await
    .map_err(failed("create a plugin"))?;
    let row = sqlx::query("SELECT kind FROM plugins WHERE tenant_id = $1 AND name = $2")
        .bind(tenant.0)
        .bind(&name)
        .fetch_one(tx.conn())
        .await
        .map_err(failed("read a plugin"))?;
    row.parse("kind").map_err(row_error("read plugin row"))
}

/// Returns false if the revision exists already.
async fn insert(tx: &mut Tx, tenant: TenantId, revision: &NewRevision) -> Result<bool, StoreError> {
    let description = &revision.description;
    let text = |text: &str| storable(text).into_owned();
    let list = |texts: &[String]| {
        let texts: Vec<_> = texts.iter().map(|text| storable(text)).collect();
        to_json(&texts)
    };
    let inserted = sqlx::query(
        "INSERT INTO plugin_revisions (tenant_id, plugin, digest, contract, version, summary, \
         config_schema, state_schema, metrics, attributes, size, origin, created_by, created_at, \
         enabled, calls, failures, fuel) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 1, 0, 0, 0) \
         ON CONFLICT (tenant_id, digest) DO NOTHING",
    )
    .bind(tenant.0)
    .bind(description.name.to_string())
    .bind(revision.digest.to_string())
    .bind(text(&revision.contract))
    .bind(text(&description.version))
    .bind(text(&description.summary))
    .bind(text(&description.config_schema))
    .bind(i64::from(description.state_schema))
    .bind(list(&description.metrics)?)
    .bind(list(&description.attributes)?)
    .bind(to_i64(revision.size))
    .bind(revision.origin.as_str())
    .bind(text(&revision.created_by))
    .bind(revision.created_at.0)
    .execute(tx.conn())
    .await
    .map_err(failed("create a plugin revision"))?;
    Ok(inserted.rows_affected() > 0)
}

async fn add_usage(
    tx: &mut Tx,
    tenant: TenantId,
    usage: &[(Digest, Usage)],
) -> Result<(), StoreError> {
    #[derive(Serialize)]
    struct UsageRow {
        digest: String,
        calls: i64,
        failures: i64,
        fuel: i64,
    }

    let rows = usage.iter().map(|(digest, usage)| UsageRow {
        digest: digest.to_string(),
        calls: to_i64(usage.calls),
        failures: to_i64(usage.failures),
        fuel: to_i64(usage.fuel),
    });
    let columns = [
        ("digest", ColumnType::Text),
        ("calls", ColumnType::Int),
        ("failures", ColumnType::Int),
        ("fuel", ColumnType::Int),
    ];
    // A digest may occur several times. SUM of BIGINT is NUMERIC on PostgreSQL.
    let sql = format!(
        "WITH used AS (SELECT digest, CAST(SUM(calls) AS BIGINT) AS calls, \
         CAST(SUM(failures) AS BIGINT) AS failures, CAST(SUM(fuel) AS BIGINT) AS fuel \
         FROM {} GROUP BY digest) \
         UPDATE plugin_revisions SET calls = plugin_revisions.calls + used.calls, \
         failures = plugin_revisions.failures + used.failures, \
         fuel = plugin_revisions.fuel + used.fuel FROM used \
         WHERE plugin_revisions.tenant_id = $1 AND plugin_revisions.digest = used.digest",
        tx.dialect().json_rows("input", "$2", &columns)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&rows.collect::<Vec<_>>())?)
        .execute(tx.conn())
        .await
        .map_err(failed("record plugin usage"))?;
    Ok(())
}

fn revision_from_row(row: &AnyRow) -> Result<Revision, RowError> {
    let state_schema: i64 = row.take("state_schema")?;
    let description = Description {
        name: row.parse("plugin")?,
        version: row.take("version")?,
        summary: row.take("summary")?,
        config_schema: row.take("config_schema")?,
        state_schema: u32::try_from(state_schema).map_err(|_| RowError::OutOfRange {
            column: "state_schema",
            value: state_schema,
        })?,
        metrics: row.json("metrics")?,
        attributes: row.json("attributes")?,
    };
    let stored = NewRevision {
        digest: row.parse("digest")?,
        kind: row.parse("kind")?,
        contract: row.take("contract")?,
        description,
        size: row.count("size")?,
        origin: row.parse("origin")?,
        created_by: row.take("created_by")?,
        created_at: Timestamp(row.take("created_at")?),
    };
    Ok(Revision {
        stored,
        enabled: row.flag("enabled")?,
        usage: Usage {
            calls: row.count("calls")?,
            failures: row.count("failures")?,
            fuel: row.count("fuel")?,
        },
    })
}
