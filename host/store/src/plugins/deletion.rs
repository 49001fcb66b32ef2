//! Deletes revisions that nothing uses.

use serde_json::{Value, json};
use tidegate_core::{
    Named as _,
    id::{Digest, TenantId},
    plugin::PluginName,
};
use tidegate_engine::{Ctx, ports::StoreError};

use super::lock_revision;
use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    error::failed,
    sql::SqlText,
    updates::chosen_policies::is_named_by_open_update,
};

pub(crate) async fn delete_revision(
    database: &Database,
    ctx: &Ctx,
    plugin: &PluginName,
    digest: Digest,
) -> Result<bool, StoreError> {
    const DELETE: &str = "delete a plugin revision";
    let (tenant, name, text) = (ctx.tenant.0, plugin.to_string(), digest.to_string());
    let mut tx = database.write().await?;
    lock_plugin(&mut tx, ctx.tenant, plugin).await?;
    let Some(state) = lock_revision(&mut tx, ctx.tenant, plugin, digest).await? else {
        return Ok(false);
    };
    if let Some(user) = user_of(&mut tx, ctx.tenant, digest).await? {
        return Err(StoreError::Conflict(format!(
            "the revision {digest} is {user}"
        )));
    }
    sqlx::query("DELETE FROM plugin_revisions WHERE tenant_id = $1 AND digest = $2")
        .bind(tenant)
        .bind(text)
        .execute(tx.conn())
        .await
        .map_err(failed(DELETE))?;
    sqlx::query(
        "DELETE FROM plugins WHERE tenant_id = $1 AND name = $2 AND NOT EXISTS \
         (SELECT 1 FROM plugin_revisions WHERE tenant_id = $1 AND plugin = $2)",
    )
    .bind(tenant)
    .bind(name)
    .execute(tx.conn())
    .await
    .map_err(failed(DELETE))?;
    let before = json!({ "plugin": plugin.to_string(), "state": state.as_str() });
    let entry = AuditEntry::new("plugin.delete", digest, before, Value::Null);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

/// Locks a plugin, before its revisions, as all transactions do that lock both.
async fn lock_plugin(tx: &mut Tx, tenant: TenantId, plugin: &PluginName) -> Result<(), StoreError> {
    static SQL: SqlText = SqlText::new(|dialect| {
        let lock = dialect.for_update();
        format!("SELECT name FROM plugins WHERE tenant_id = $1 AND name = $2{lock}")
    });
    sqlx::query(SQL.of(tx.dialect()))
        .bind(tenant.0)
        .bind(plugin.to_string())
        .fetch_optional(tx.conn())
        .await
        .map_err(failed("lock a plugin"))?;
    Ok(())
}

/// What keeps a revision from being deleted, in words. Its row is locked, so that no campaign and no update comes to use
/// it meanwhile.
async fn user_of(
    tx: &mut Tx,
    tenant: TenantId,
    digest: Digest,
) -> Result<Option<&'static str>, StoreError> {
    let users = [
        (
            "the default that an administrator chose: choose another one first",
            "SELECT 1 FROM plugins WHERE tenant_id = $1 AND default_revision = $2",
        ),
        (
            "pinned by a campaign, whose journal is replayed with it",
            "SELECT 1 FROM campaign_revisions WHERE tenant_id = $1 AND digest = $2 LIMIT 1",
        ),
    ];
    for (user, sql) in users {
        let row = sqlx::query(sql)
            .bind(tenant.0)
            .bind(digest.to_string())
            .fetch_optional(tx.conn())
            .await
            .map_err(failed("read what uses a plugin revision"))?;
        if row.is_some() {
            return Ok(Some(user));
        }
    }
    let is_named = is_named_by_open_update(tx, tenant, digest).await?;
    Ok(is_named
        .then_some("named by an open update of a device, which may be checked again with it"))
}
