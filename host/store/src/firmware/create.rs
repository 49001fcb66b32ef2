use std::{borrow::Cow, collections::BTreeMap};

use serde::Serialize;
use serde_json::{Value, json};
use tidegate_core::{
    firmware::{Artifact, FirmwareDetails},
    id::{FirmwareId, ModuleId, TenantId},
    version::sort_key,
};
use tidegate_engine::{
    Ctx,
    ports::{NewFirmware, NewModule, StoreError},
};

use super::models;
use crate::{
    audit::{self, AuditEntry, MAX_NAMED},
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::{conflict, failed},
    latest::mark_dirty,
    rows::{RowExt as _, row_error, to_i64, to_json},
};

pub(crate) async fn create(
    database: &Database,
    ctx: &Ctx,
    firmware: &NewFirmware,
) -> Result<FirmwareId, StoreError> {
    let tenant = ctx.tenant;
    let mut tx = database.write().await?;
    let id = insert(&mut tx, tenant, firmware).await?;
    models::insert(&mut tx, tenant, id, &firmware.details).await?;
    for (position, module) in firmware.modules.iter().enumerate() {
        let module_id = insert_module(&mut tx, tenant, id, position, module).await?;
        insert_artifacts(&mut tx, tenant, module_id, &module.artifacts).await?;
    }
    mark_dirty(&mut tx, tenant).await?;
    let details = &firmware.details;
    let after = json!({
        "name": details.name, "version": details.version, "device_model": details.device_model,
        "is_beta": details.is_beta, "is_security_update": details.is_security_update,
        "description": details.description, "manufacturer": details.manufacturer,
        "min_hardware_version": details.min_hardware_version,
        "max_hardware_version": details.max_hardware_version,
        "tags": details.tags, "metadata": details.metadata, "changelog": details.changelog,
        "files": files(firmware),
    });
    audit::record(
        &mut tx,
        ctx,
        AuditEntry::new("firmware.upload", id, Value::Null, after),
    )
    .await?;
    tx.commit().await?;
    Ok(id)
}

/// The names and digests of the files, for the audit trail.
fn files(firmware: &NewFirmware) -> Vec<Value> {
    let artifacts = firmware.modules.iter().flat_map(|module| &module.artifacts);
    let file = |artifact: &Artifact| json!({ "filename": artifact.filename, "sha256": hex::encode(artifact.hashes.sha256) });
    artifacts.take(MAX_NAMED).map(file).collect()
}

async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: &NewFirmware,
) -> Result<FirmwareId, StoreError> {
    let details = &firmware.details;
    let text = |text: &str| storable(text).into_owned();
    let optional = |text: &Option<String>| text.as_deref().map(|text| storable(text).into_owned());
    let row = sqlx::query(
        "INSERT INTO firmware (tenant_id, name, version, version_key, description, device_model, \
         manufacturer, min_hardware_version, max_hardware_version, tags, metadata, is_beta, \
         is_security_update, changelog, created_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) \
         RETURNING id",
    )
    .bind(tenant.0)
    .bind(text(&details.name))
    .bind(text(&details.version))
    .bind(text(&sort_key(&details.version)))
    .bind(text(&details.description))
    .bind(optional(&details.device_model))
    .bind(optional(&details.manufacturer))
    .bind(optional(&details.min_hardware_version))
    .bind(optional(&details.max_hardware_version))
    .bind(tags(&details.tags)?)
    .bind(metadata(&details.metadata)?)
    .bind(i32::from(details.is_beta))
    .bind(i32::from(details.is_security_update))
    .bind(text(&details.changelog))
    .bind(text(&firmware.created_by))
    .bind(firmware.created_at.0)
    .fetch_one(tx.conn())
    .await
    .map_err(conflict("create a firmware", conflict_message(details)))?;
    row.take("id")
        .map(FirmwareId)
        .map_err(row_error("read firmware row"))
}

fn conflict_message(details: &FirmwareDetails) -> String {
    let FirmwareDetails { name, version, .. } = details;
    match &details.device_model {
        Some(model) => format!("firmware {name} {version} for {model} exists already"),
        None => format!("firmware {name} {version} exists already"),
    }
}

fn tags(tags: &[String]) -> Result<String, StoreError> {
    let tags: Vec<_> = tags.iter().map(|tag| storable(tag)).collect();
    to_json(&tags)
}

fn metadata(metadata: &BTreeMap<String, String>) -> Result<String, StoreError> {
    let metadata: BTreeMap<_, _> = metadata
        .iter()
        .map(|(key, value)| (storable(key), storable(value)))
        .collect();
    to_json(&metadata)
}

async fn insert_module(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: FirmwareId,
    position: usize,
    module: &NewModule,
) -> Result<ModuleId, StoreError> {
    let metadata = module.metadata.iter();
    let module_metadata: Vec<_> = metadata
        .map(|entry| (storable(&entry.key), storable(&entry.value)))
        .collect();
    let row = sqlx::query(
        "INSERT INTO modules \
         (tenant_id, firmware_id, position, part, name, version, metadata, is_encrypted) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    )
    .bind(tenant.0)
    .bind(firmware.0)
    .bind(to_i64(position as u64))
    .bind(storable(&module.part).into_owned())
    .bind(storable(&module.name).into_owned())
    .bind(storable(&module.version).into_owned())
    .bind(to_json(&module_metadata)?)
    .bind(i32::from(module.is_encrypted))
    .fetch_one(tx.conn())
    .await
    .map_err(failed("create a module"))?;
    row.take("id")
        .map(ModuleId)
        .map_err(row_error("read module row"))
}

#[derive(Serialize)]
struct ArtifactRow<'a> {
    position: usize,
    filename: Cow<'a, str>,
    size: i64,
    sha1: String,
    md5: String,
    sha256: String,
}

async fn insert_artifacts(
    tx: &mut Tx,
    tenant: TenantId,
    module: ModuleId,
    artifacts: &[Artifact],
) -> Result<(), StoreError> {
    if artifacts.is_empty() {
        return Ok(());
    }
    let rows = artifacts
        .iter()
        .enumerate()
        .map(|(position, artifact)| ArtifactRow {
            position,
            filename: storable(&artifact.filename),
            size: to_i64(artifact.size),
            sha1: hex::encode(artifact.hashes.sha1),
            md5: hex::encode(artifact.hashes.md5),
            sha256: hex::encode(artifact.hashes.sha256),
        });
    let columns = [
        ("position", ColumnType::Int),
        ("filename", ColumnType::Text),
        ("size", ColumnType::Int),
        ("sha1", ColumnType::Text),
        ("md5", ColumnType::Text),
        ("sha256", ColumnType::Text),
    ];
    let sql = format!(
        "INSERT INTO artifacts \
         (tenant_id, module_id, position, filename, size, sha1, md5, sha256) \
         SELECT CAST($1 AS BIGINT), CAST($2 AS BIGINT), position, filename, size, sha1, md5, sha256 \
         FROM {}",
        tx.dialect().json_rows("input", "$3", &columns)
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(module.0)
        .bind(to_json(&rows.collect::<Vec<_>>())?)
        .execute(tx.conn())
        .await
        .map_err(conflict(
            "create artifacts",
            "a file name occurs twice in one module".to_owned(),
        ))?;
    Ok(())
}
