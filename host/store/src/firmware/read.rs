use std::collections::HashMap;

use sqlx::any::AnyRow;
use tidegate_core::{
    firmware::{Artifact, Firmware, FirmwareDetails, Hashes, Module, ModuleMetadata},
    id::{FirmwareId, ModuleId, TenantId},
    time::Timestamp,
    version::sort_key,
};
use tidegate_engine::ports::StoreError;

use crate::{
    database::{Database, Tx},
    dialect::storable,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
};

/// The columns of a firmware `f`, for [`load_modules`].
pub(super) const COLUMNS: &str = "f.id, f.tenant_id, f.name, f.version, f.description, \
     f.device_model, f.manufacturer, f.min_hardware_version, f.max_hardware_version, f.tags, \
     f.metadata, f.is_beta, f.is_security_update, f.changelog, f.created_by, f.created_at, f.deleted_at";

/// The firmware of this id, deleted or not.
pub(crate) async fn by_id(
    database: &Database,
    tenant: TenantId,
    id: FirmwareId,
) -> Result<Option<Firmware>, StoreError> {
    let mut tx = database.read().await?;
    let sql = format!("SELECT {COLUMNS} FROM firmware f WHERE f.tenant_id = $1 AND f.id = $2");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(id.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read a firmware"))?;
    Ok(load_modules(&mut tx, tenant, &rows).await?.pop())
}

/// Whether a campaign, an update or a device refers to this firmware.
pub(crate) async fn is_used(
    database: &Database,
    tenant: TenantId,
    id: FirmwareId,
) -> Result<bool, StoreError> {
    const READ: &str = "read whether a firmware is used";
    let mut tx = database.read().await?;
    let row = sqlx::query(
        "SELECT CASE WHEN \
         EXISTS (SELECT 1 FROM campaigns c WHERE c.tenant_id = $1 AND c.firmware_id = $2) \
         OR EXISTS (SELECT 1 FROM devices d WHERE d.tenant_id = $1 AND d.installed_firmware_id = $2) \
         OR EXISTS (SELECT 1 FROM updates u WHERE u.tenant_id = $1 \
         AND (u.firmware_id = $2 OR u.from_firmware_id = $2)) THEN 1 ELSE 0 END AS used",
    )
    .bind(tenant.0)
    .bind(id.0)
    .fetch_one(tx.conn())
    .await
    .map_err(failed(READ))?;
    row.flag("used").map_err(row_error(READ))
}

/// The firmware of a module, deleted or not.
pub(crate) async fn by_module(
    database: &Database,
    tenant: TenantId,
    module: ModuleId,
) -> Result<Option<Firmware>, StoreError> {
    let mut tx = database.read().await?;
    let sql = format!(
        "SELECT {COLUMNS} FROM modules m \
         JOIN firmware f ON f.tenant_id = m.tenant_id AND f.id = m.firmware_id \
         WHERE m.tenant_id = $1 AND m.id = $2"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(module.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the firmware of a module"))?;
    Ok(load_modules(&mut tx, tenant, &rows).await?.pop())
}

/// The newest firmware of this name and version that fits the device model: one for the model, otherwise one without
/// a model. A device without a model gets only firmware without a model. Versions are compared by their sort key:
/// `1.2` equals `v1.2.0`.
pub(crate) async fn id_by_version(
    tx: &mut Tx,
    tenant: TenantId,
    name: &str,
    version: &str,
    model: Option<&str>,
) -> Result<Option<FirmwareId>, StoreError> {
    let row = sqlx::query(
        "SELECT id FROM firmware WHERE tenant_id = $1 AND version_key = $2 AND name = $3 AND deleted_at IS NULL \
         AND (device_model IS NULL OR (device_model = $4 AND device_model <> '')) \
         ORDER BY CASE WHEN device_model IS NULL THEN 1 ELSE 0 END, id DESC LIMIT 1",
    )
    .bind(tenant.0)
    .bind(storable(&sort_key(version)).into_owned())
    .bind(storable(name).into_owned())
    .bind(storable(model.unwrap_or_default().trim()).into_owned())
    .fetch_optional(tx.conn())
    .await
    .map_err(failed("find a firmware by version"))?;
    row.map(|row| row.take("id").map(FirmwareId))
        .transpose()
        .map_err(row_error("read firmware row"))
}

/// Converts rows of [`COLUMNS`] to firmware with modules and files, in the same order.
pub(super) async fn load_modules(
    tx: &mut Tx,
    tenant: TenantId,
    rows: &[AnyRow],
) -> Result<Vec<Firmware>, StoreError> {
    let all: Result<Vec<_>, _> = rows.iter().map(without_modules).collect();
    let mut all = all.map_err(row_error("read firmware row"))?;
    let ids: Vec<_> = all.iter().map(|firmware| firmware.id.0).collect();
    let ids = to_json(&ids)?;
    let mut artifacts = artifacts(tx, tenant, &ids).await?;
    let mut modules = modules(tx, tenant, &ids).await?;
    for firmware in &mut all {
        firmware.modules = modules.remove(&firmware.id).unwrap_or_default();
        for module in &mut firmware.modules {
            module.artifacts = artifacts.remove(&module.id).unwrap_or_default();
        }
    }
    Ok(all)
}

async fn modules(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: &str,
) -> Result<HashMap<FirmwareId, Vec<Module>>, StoreError> {
    let sql = format!(
        "SELECT firmware_id, id, part, name, version, metadata, is_encrypted FROM modules \
         WHERE tenant_id = $1 AND firmware_id IN (SELECT value FROM {}) \
         ORDER BY firmware_id, position",
        tx.dialect().json_numbers("$2")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(firmware)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read modules"))?;
    let mut modules: HashMap<_, Vec<_>> = HashMap::new();
    for row in &rows {
        let (firmware, module) = module(row).map_err(row_error("read module row"))?;
        modules.entry(firmware).or_default().push(module);
    }
    Ok(modules)
}

async fn artifacts(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: &str,
) -> Result<HashMap<ModuleId, Vec<Artifact>>, StoreError> {
    let sql = format!(
        "SELECT a.module_id, a.filename, a.size, a.sha1, a.md5, a.sha256 FROM modules m \
         JOIN artifacts a ON a.tenant_id = m.tenant_id AND a.module_id = m.id \
         WHERE m.tenant_id = $1 AND m.firmware_id IN (SELECT value FROM {}) \
         ORDER BY a.module_id, a.position",
        tx.dialect().json_numbers("$2")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(firmware)
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read artifacts"))?;
    let mut artifacts: HashMap<_, Vec<_>> = HashMap::new();
    for row in &rows {
        let (module, artifact) = artifact(row).map_err(row_error("read artifact row"))?;
        artifacts.entry(module).or_default().push(artifact);
    }
    Ok(artifacts)
}

fn without_modules(row: &AnyRow) -> Result<Firmware, RowError> {
    Ok(Firmware {
        id: FirmwareId(row.take("id")?),
        tenant: TenantId(row.take("tenant_id")?),
        details: FirmwareDetails {
            name: row.take("name")?,
            version: row.take("version")?,
            description: row.take("description")?,
            device_model: row.take("device_model")?,
            manufacturer: row.take("manufacturer")?,
            min_hardware_version: row.take("min_hardware_version")?,
            max_hardware_version: row.take("max_hardware_version")?,
            tags: row.json("tags")?,
            metadata: row.json("metadata")?,
            is_beta: row.flag("is_beta")?,
            is_security_update: row.flag("is_security_update")?,
            changelog: row.take("changelog")?,
        },
        modules: Vec::new(),
        created_at: Timestamp(row.take("created_at")?),
        created_by: row.take("created_by")?,
        deleted_at: row.take::<Option<i64>>("deleted_at")?.map(Timestamp),
    })
}

fn module(row: &AnyRow) -> Result<(FirmwareId, Module), RowError> {
    let metadata: Vec<(String, String)> = row.json("metadata")?;
    let metadata = metadata.into_iter();
    let module = Module {
        id: ModuleId(row.take("id")?),
        part: row.take("part")?,
        name: row.take("name")?,
        version: row.take("version")?,
        metadata: metadata
            .map(|(key, value)| ModuleMetadata { key, value })
            .collect(),
        is_encrypted: row.flag("is_encrypted")?,
        artifacts: Vec::new(),
    };
    Ok((FirmwareId(row.take("firmware_id")?), module))
}

fn artifact(row: &AnyRow) -> Result<(ModuleId, Artifact), RowError> {
    let artifact = Artifact {
        filename: row.take("filename")?,
        size: row.count("size")?,
        hashes: Hashes {
            sha1: row.hex("sha1")?,
            md5: row.hex("md5")?,
            sha256: row.hex("sha256")?,
        },
    };
    Ok((ModuleId(row.take("module_id")?), artifact))
}
