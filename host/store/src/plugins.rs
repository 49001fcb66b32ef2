//! Plugins and their revisions.

use serde::Serialize;
use serde_json::{Value, json};
use sqlx::any::AnyRow;
use tidegate_core::{
    Named as _,
    id::{Digest, TenantId},
    plugin::{Description, PluginKind, PluginName, RevisionState},
    time::Timestamp,
};
use tidegate_engine::{
    Ctx,
    ports::{NewRevision, PutRevisionError, Revision, StoreError, Usage},
};

use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::failed,
    latest::mark_dirty,
    rows::{RowError, RowExt as _, row_error, to_i64, to_json},
    sql::SqlText,
};

mod deletion;
mod rejections;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use deletion::delete_revision;
pub(crate) use rejections::{list_rejections, record_rejection};

/// The columns of a revision `r` of a plugin `p`.
const COLUMNS: &str = "r.plugin, p.kind, r.digest, r.contract, r.version, r.summary, \
     r.config_schema, r.state_schema, r.size, r.origin, r.created_by, \
     r.created_at, r.state, r.calls, r.failures, r.fuel, r.peak_memory, \
     CASE WHEN p.default_revision = r.digest THEN 1 ELSE 0 END AS is_chosen_default, \
     (SELECT COUNT(*) FROM campaign_revisions c WHERE c.tenant_id = r.tenant_id AND c.digest = r.digest \
     AND c.is_current = 1) AS campaigns";

/// The revisions of a tenant; conditions and an order may follow.
fn select() -> String {
    format!(
        "SELECT {COLUMNS} FROM plugin_revisions r \
         JOIN plugins p ON p.tenant_id = r.tenant_id AND p.name = r.plugin WHERE r.tenant_id = $1"
    )
}

pub(crate) async fn put_revision(
    database: &Database,
    ctx: &Ctx,
    revision: NewRevision,
) -> Result<(), PutRevisionError> {
    let mut tx = database.write().await?;
    let kind = lock_plugin(&mut tx, ctx.tenant, &revision).await?;
    if kind != revision.kind {
        return Err(PutRevisionError::OtherKind(kind));
    }
    if !revision.description.name.is_built_in()
        && let Some(other) = other_bytes(&mut tx, ctx.tenant, &revision).await?
    {
        return Err(PutRevisionError::OtherBytes(other));
    }
    let state = RevisionState::at_first(revision.origin);
    if insert(&mut tx, ctx.tenant, &revision).await? {
        let after = json!({
            "plugin": revision.description.name.to_string(),
            "version": revision.description.version,
            "kind": revision.kind.as_str(),
            "state": state.as_str(),
        });
        let entry = AuditEntry::new("plugin.upload", revision.digest, Value::Null, after);
        audit::record(&mut tx, ctx, entry).await?;
        if revision.kind == PluginKind::Compatibility {
            mark_dirty(&mut tx, ctx.tenant).await?;
        }
    } else if state == RevisionState::Enabled {
        let (plugin, digest) = (&revision.description.name, revision.digest);
        let before = lock_revision(&mut tx, ctx.tenant, plugin, digest).await?;
        if before == Some(RevisionState::Candidate) {
            set_state(
                &mut tx,
                ctx,
                plugin,
                digest,
                RevisionState::Candidate,
                state,
            )
            .await?;
        }
    }
    Ok(tx.commit().await?)
}

pub(crate) async fn revisions(
    database: &Database,
    tenant: TenantId,
) -> Result<Vec<Revision>, StoreError> {
    static SQL: SqlText =
        SqlText::new(|_| select() + " ORDER BY r.plugin, r.created_at DESC, r.id DESC");
    let mut tx = database.read_single().await?;
    let query = sqlx::query(SQL.of(tx.dialect())).bind(tenant.0);
    let rows = query.fetch_all(tx.conn()).await;
    revisions_from_rows(&rows.map_err(failed("read plugin revisions"))?)
}

pub(crate) async fn revisions_of(
    database: &Database,
    tenant: TenantId,
    plugin: &PluginName,
) -> Result<Vec<Revision>, StoreError> {
    static SQL: SqlText =
        SqlText::new(|_| select() + " AND r.plugin = $2 ORDER BY r.created_at DESC, r.id DESC");
    let mut tx = database.read_single().await?;
    let query = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(plugin.to_string());
    let rows = query.fetch_all(tx.conn()).await;
    revisions_from_rows(&rows.map_err(failed("read the revisions of a plugin"))?)
}

pub(crate) async fn revision(
    database: &Database,
    tenant: TenantId,
    plugin: &PluginName,
    digest: Digest,
) -> Result<Option<Revision>, StoreError> {
    static SQL: SqlText = SqlText::new(|_| select() + " AND r.plugin = $2 AND r.digest = $3");
    let mut tx = database.read_single().await?;
    let row = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(plugin.to_string())
        .bind(digest.to_string())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("read a plugin revision"))?;
    row.map(|row| revision_from_row(&row))
        .transpose()
        .map_err(row_error("read plugin revision row"))
}

pub(crate) async fn change_revision_state(
    database: &Database,
    ctx: &Ctx,
    plugin: &PluginName,
    digest: Digest,
    state: RevisionState,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let Some(before) = lock_revision(&mut tx, ctx.tenant, plugin, digest).await? else {
        return Ok(false);
    };
    if !before.can_become(state) {
        return Err(StoreError::Conflict(format!(
            "the revision {digest} is {} and cannot become {}: enable it first",
            before.as_str(),
            state.as_str()
        )));
    }
    if before == state {
        return Ok(false);
    }
    set_state(&mut tx, ctx, plugin, digest, before, state).await?;
    tx.commit().await?;
    Ok(true)
}

/// Changes the state of a revision, which is locked and has another one.
async fn set_state(
    tx: &mut Tx,
    ctx: &Ctx,
    plugin: &PluginName,
    digest: Digest,
    before: RevisionState,
    state: RevisionState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE plugin_revisions SET state = $3 WHERE tenant_id = $1 AND digest = $2")
        .bind(ctx.tenant.0)
        .bind(digest.to_string())
        .bind(state.as_str())
        .execute(tx.conn())
        .await
        .map_err(failed("change the state of a plugin revision"))?;
    let action = match state {
        RevisionState::Candidate | RevisionState::Enabled => "plugin.enable",
        RevisionState::Deprecated => "plugin.deprecate",
        RevisionState::Disabled => "plugin.disable",
    };
    let fields =
        |state: RevisionState| json!({ "plugin": plugin.to_string(), "state": state.as_str() });
    let entry = AuditEntry::of_difference(action, digest, fields(before), fields(state));
    audit::record(tx, ctx, entry).await?;
    if state == RevisionState::Enabled {
        mark_dirty(tx, ctx.tenant).await?;
    }
    Ok(())
}

pub(crate) async fn choose_default_revision(
    database: &Database,
    ctx: &Ctx,
    plugin: &PluginName,
    digest: Option<Digest>,
) -> Result<bool, StoreError> {
    const CHOOSE: &str = "choose the default revision of a plugin";
    static READ: SqlText = SqlText::new(|dialect| {
        let lock = dialect.for_update();
        format!("SELECT default_revision FROM plugins WHERE tenant_id = $1 AND name = $2{lock}")
    });
    let mut tx = database.write().await?;
    let row = sqlx::query(READ.of(tx.dialect()))
        .bind(ctx.tenant.0)
        .bind(plugin.to_string())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(CHOOSE))?;
    let Some(row) = row else { return Ok(false) };
    let before: Option<Digest> = row
        .parse_optional("default_revision")
        .map_err(row_error(CHOOSE))?;
    if before == digest {
        return Ok(false);
    }
    if let Some(digest) = digest {
        let state = lock_revision(&mut tx, ctx.tenant, plugin, digest).await?;
        if state != Some(RevisionState::Enabled) {
            let message = format!("the revision {digest} is not enabled: enable it first");
            return Err(StoreError::Conflict(message));
        }
    }
    let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    sqlx::query("UPDATE plugins SET default_revision = $3 WHERE tenant_id = $1 AND name = $2")
        .bind(ctx.tenant.0)
        .bind(plugin.to_string())
        .bind(text(digest))
        .execute(tx.conn())
        .await
        .map_err(failed(CHOOSE))?;
    let fields = |digest| json!({ "default_revision": text(digest) });
    let entry = AuditEntry::new("plugin.default", plugin, fields(before), fields(digest));
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Locks a revision and returns its state.
async fn lock_revision(
    tx: &mut Tx,
    tenant: TenantId,
    plugin: &PluginName,
    digest: Digest,
) -> Result<Option<RevisionState>, StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        let lock = dialect.for_update();
        format!(
            "SELECT state FROM plugin_revisions WHERE tenant_id = $1 AND plugin = $2 AND digest = $3{lock}"
        )
    });
    let row = sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(plugin.to_string())
        .bind(digest.to_string())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("lock a plugin revision"))?;
    let state = row.map(|row| row.parse("state"));
    state
        .transpose()
        .map_err(row_error("read plugin revision row"))
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

/// Creates the plugin if it does not exist, and locks it; returns its kind.
async fn lock_plugin(
    tx: &mut Tx,
    tenant: TenantId,
    revision: &NewRevision,
) -> Result<PluginKind, StoreError> {
    let row = sqlx::query(
        "INSERT INTO plugins (tenant_id, name, kind) VALUES ($1, $2, $3) \
         ON CONFLICT (tenant_id, name) DO UPDATE SET kind = plugins.kind RETURNING kind",
    )
    .bind(tenant.0)
    .bind(revision.description.name.to_string())
    .bind(revision.kind.as_str())
    .fetch_one(tx.conn())
    .await
    .map_err(failed("create a plugin"))?;
    row.parse("kind").map_err(row_error("read plugin row"))
}

/// Another revision of the plugin, which is locked, with the same version.
async fn other_bytes(
    tx: &mut Tx,
    tenant: TenantId,
    revision: &NewRevision,
) -> Result<Option<Digest>, StoreError> {
    const READ: &str = "read the revision of a version";
    let row = sqlx::query(
        "SELECT digest FROM plugin_revisions \
         WHERE tenant_id = $1 AND plugin = $2 AND version = $3 AND digest <> $4 ORDER BY id LIMIT 1",
    )
    .bind(tenant.0)
    .bind(revision.description.name.to_string())
    .bind(storable(&revision.description.version).into_owned())
    .bind(revision.digest.to_string())
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(READ))?;
    let digest = row.map(|row| row.parse("digest"));
    digest.transpose().map_err(row_error(READ))
}

/// Returns false if the revision exists already.
async fn insert(tx: &mut Tx, tenant: TenantId, revision: &NewRevision) -> Result<bool, StoreError> {
    let description = &revision.description;
    let text = |text: &str| storable(text).into_owned();
    let inserted = sqlx::query(
        "INSERT INTO plugin_revisions (tenant_id, plugin, digest, contract, version, summary, \
         config_schema, state_schema, size, origin, created_by, created_at, \
         state, calls, failures, fuel) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, 0) \
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
    .bind(to_i64(revision.size))
    .bind(revision.origin.as_str())
    .bind(text(&revision.created_by))
    .bind(revision.created_at.0)
    .bind(RevisionState::at_first(revision.origin).as_str())
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
        peak_memory: i64,
    }

    let rows = usage.iter().map(|(digest, usage)| UsageRow {
        digest: digest.to_string(),
        calls: to_i64(usage.calls),
        failures: to_i64(usage.failures),
        fuel: to_i64(usage.fuel),
        peak_memory: to_i64(usage.peak_memory),
    });
    let columns = [
        ("digest", ColumnType::Text),
        ("calls", ColumnType::Int),
        ("failures", ColumnType::Int),
        ("fuel", ColumnType::Int),
        ("peak_memory", ColumnType::Int),
    ];
    // A digest may occur several times. SUM of BIGINT is NUMERIC on PostgreSQL.
    let sql = format!(
        "WITH used AS (SELECT digest, CAST(SUM(calls) AS BIGINT) AS calls, \
         CAST(SUM(failures) AS BIGINT) AS failures, CAST(SUM(fuel) AS BIGINT) AS fuel, \
         MAX(peak_memory) AS peak_memory \
         FROM {} GROUP BY digest) \
         UPDATE plugin_revisions SET calls = plugin_revisions.calls + used.calls, \
         failures = plugin_revisions.failures + used.failures, \
         fuel = plugin_revisions.fuel + used.fuel, \
         peak_memory = CASE WHEN used.peak_memory > plugin_revisions.peak_memory \
         THEN used.peak_memory ELSE plugin_revisions.peak_memory END FROM used \
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

fn revisions_from_rows(rows: &[AnyRow]) -> Result<Vec<Revision>, StoreError> {
    let revisions = rows.iter().map(revision_from_row);
    revisions
        .collect::<Result<_, _>>()
        .map_err(row_error("read plugin revision row"))
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
        state: row.parse("state")?,
        is_chosen_default: row.flag("is_chosen_default")?,
        campaigns: row.count("campaigns")?,
        usage: Usage {
            calls: row.count("calls")?,
            failures: row.count("failures")?,
            fuel: row.count("fuel")?,
            peak_memory: row.count("peak_memory")?,
        },
    })
}
