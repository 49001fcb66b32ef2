use tidegate_core::{firmware::Firmware, id::TenantId};
use tidegate_engine::ports::{FirmwareFilter, Page, PageRequest, StoreError};

use super::read::{COLUMNS, load_modules};
use crate::{
    database::Database,
    dialect::{Dialect, storable},
    error::failed,
    rows::{RowExt as _, row_error, to_i64},
    sql::Parameters,
};

/// A page of firmware that is not deleted, newest first.
pub(crate) async fn list(
    database: &Database,
    tenant: TenantId,
    filter: &FirmwareFilter,
    page: PageRequest,
) -> Result<Page<Firmware>, StoreError> {
    let mut tx = database.read().await?;

    let mut parameters = Parameters::default();
    let of_tenant = parameters.bind(tenant.0);
    let condition = matching(tx.dialect(), filter, &mut parameters);
    let sql = format!(
        "SELECT COUNT(*) AS total FROM firmware f WHERE f.tenant_id = {of_tenant} AND {condition}"
    );
    let total = parameters
        .query(sql)?
        .fetch_one(tx.conn())
        .await
        .map_err(failed("count the firmware of a list"))?;
    let total = total
        .count("total")
        .map_err(row_error("count the firmware of a list"))?;

    let mut parameters = Parameters::default();
    let of_tenant = parameters.bind(tenant.0);
    let condition = matching(tx.dialect(), filter, &mut parameters);
    let limit = parameters.bind(i64::from(page.limit));
    let offset = parameters.bind(to_i64(page.offset));
    let sql = format!(
        "SELECT {COLUMNS} FROM firmware f WHERE f.tenant_id = {of_tenant} AND {condition} \
         ORDER BY f.id DESC LIMIT {limit} OFFSET {offset}"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("list firmware"))?;
    let items = load_modules(&mut tx, tenant, &rows).await?;
    Ok(Page { items, total })
}

fn matching(dialect: Dialect, filter: &FirmwareFilter, parameters: &mut Parameters) -> String {
    let mut all = vec!["f.deleted_at IS NULL".to_owned()];
    for (column, value) in [
        ("device_model", &filter.device_model),
        ("manufacturer", &filter.manufacturer),
        ("version", &filter.version),
    ] {
        if let Some(value) = value {
            let value = parameters.bind(storable(value).into_owned());
            all.push(format!("f.{column} = {value}"));
        }
    }
    for (column, value) in [
        ("is_beta", filter.is_beta),
        ("is_security_update", filter.is_security_update),
    ] {
        if let Some(value) = value {
            let value = parameters.bind(i32::from(value));
            all.push(format!("f.{column} = {value}"));
        }
    }
    if let Some(tag) = &filter.tag {
        let tag = parameters.bind(storable(tag).into_owned());
        let tags = dialect.json_texts("f.tags");
        all.push(format!("{tag} IN (SELECT value FROM {tags})"));
    }
    all.join(" AND ")
}
