//! The device models that a firmware supports, which select firmware for devices in mode `latest`.

use serde::Serialize;
use tidegate_core::{
    firmware::{Firmware, FirmwareDetails},
    id::{FirmwareId, TenantId},
    version::sort_key,
};
use tidegate_engine::{
    firmware::TargetModels,
    ports::{CandidateFilter, StoreError},
};

use super::read::{COLUMNS, load_modules};
use crate::{
    database::{Database, Tx},
    dialect::{ColumnType, storable},
    error::failed,
    rows::to_json,
    sql::Parameters,
};

/// Any model.
const ANY: &str = "";

#[derive(Serialize)]
struct ModelRow {
    model: String,
}

/// Stores the models that a new firmware names.
pub(super) async fn insert(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: FirmwareId,
    details: &FirmwareDetails,
) -> Result<(), StoreError> {
    let named = TargetModels::of(details);
    let any = named.any.then(|| ANY.to_owned());
    let models = named
        .models
        .iter()
        .map(|model| storable(model).into_owned());
    let rows: Vec<_> = models.chain(any).map(|model| ModelRow { model }).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = format!(
        "INSERT INTO firmware_models (tenant_id, firmware_id, model, is_release, version_key) \
         SELECT DISTINCT CAST($1 AS BIGINT), CAST($2 AS BIGINT), model, CAST($4 AS INTEGER), \
         CAST($5 AS TEXT) FROM {}",
        tx.dialect()
            .json_rows("named", "$3", &[("model", ColumnType::Text)])
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(firmware.0)
        .bind(to_json(&rows)?)
        .bind(i32::from(details.is_release()))
        .bind(storable(&sort_key(&details.version)).into_owned())
        .execute(tx.conn())
        .await
        .map_err(failed("write the models of a firmware"))?;
    Ok(())
}

/// Deletes the models of a deleted firmware.
pub(super) async fn delete(
    tx: &mut Tx,
    tenant: TenantId,
    firmware: FirmwareId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM firmware_models WHERE tenant_id = $1 AND firmware_id = $2")
        .bind(tenant.0)
        .bind(firmware.0)
        .execute(tx.conn())
        .await
        .map_err(failed("delete the models of a firmware"))?;
    Ok(())
}

/// Releases that support a model.
pub(crate) async fn candidates(
    database: &Database,
    tenant: TenantId,
    filter: &CandidateFilter,
) -> Result<Vec<Firmware>, StoreError> {
    let mut search = Search::new(tenant, filter);
    let releases = search.for_model(1);
    search.fetch(database, &releases).await
}

/// Betas and pre-releases that support a model, and firmware that names no model.
pub(crate) async fn excluded_candidates(
    database: &Database,
    tenant: TenantId,
    filter: &CandidateFilter,
) -> Result<Vec<Firmware>, StoreError> {
    let mut search = Search::new(tenant, filter);
    let betas = search.for_model(0);
    let names_no_model = search.names_no_model();
    let either = format!("({betas} OR ({names_no_model}))");
    search.fetch(database, &either).await
}

/// A statement under construction: conditions on a firmware `f` and their parameters.
struct Search<'a> {
    tenant: TenantId,
    filter: &'a CandidateFilter,
    /// The placeholder of the tenant.
    of_tenant: String,
    parameters: Parameters,
}

impl<'a> Search<'a> {
    fn new(tenant: TenantId, filter: &'a CandidateFilter) -> Self {
        let mut parameters = Parameters::default();
        Self {
            tenant,
            filter,
            of_tenant: parameters.bind(tenant.0),
            parameters,
        }
    }

    /// The firmware supports the model.
    fn for_model(&mut self, is_release: i32) -> String {
        let model = storable(&self.filter.model).into_owned();
        let model = self.parameters.bind(model);
        let range = self.range("m.version_key", "m.firmware_id");
        let of_tenant = &self.of_tenant;
        format!(
            "f.id IN (SELECT m.firmware_id FROM firmware_models m WHERE m.tenant_id = {of_tenant} \
             AND m.model IN ({model}, '{ANY}') AND m.is_release = {is_release}{range})"
        )
    }

    fn names_no_model(&mut self) -> String {
        let range = self.range("f.version_key", "f.id");
        let of_tenant = &self.of_tenant;
        format!(
            "f.deleted_at IS NULL{range} AND NOT EXISTS (SELECT 1 FROM firmware_models m \
             WHERE m.tenant_id = {of_tenant} AND m.firmware_id = f.id)"
        )
    }

    fn range(&mut self, key: &str, id: &str) -> String {
        let at_least = self.filter.at_least.as_ref().map(|lowest| {
            let lowest = self.parameters.bind(storable(lowest).into_owned());
            format!(" AND {key} >= {lowest}")
        });
        let after = self.filter.after.as_ref().map(|(last, last_id)| {
            let last = self.parameters.bind(storable(last).into_owned());
            let last_id = self.parameters.bind(last_id.0);
            format!(" AND ({key} < {last} OR ({key} = {last} AND {id} < {last_id}))")
        });
        at_least.into_iter().chain(after).collect()
    }

    /// The matching firmware, highest version first.
    async fn fetch(
        mut self,
        database: &Database,
        which: &str,
    ) -> Result<Vec<Firmware>, StoreError> {
        let limit = self.parameters.bind(i64::from(self.filter.limit));
        let of_tenant = &self.of_tenant;
        let sql = format!(
            "SELECT {COLUMNS} FROM firmware f WHERE f.tenant_id = {of_tenant} AND {which} \
             ORDER BY f.version_key DESC, f.id DESC LIMIT {limit}"
        );
        let mut tx = database.read().await?;
        let rows = self
            .parameters
            .query(sql)?
            .fetch_all(tx.conn())
            .await
            .map_err(failed("read firmware for a model"))?;
        load_modules(&mut tx, self.tenant, &rows).await
    }
}
