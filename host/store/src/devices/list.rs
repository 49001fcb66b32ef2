use tidegate_core::{device::Device, id::TenantId};
use tidegate_engine::ports::{
    DeviceFilter, DeviceSort, OverdueRule, Page, PageRequest, StoreError,
};

use super::read::{columns, devices};
use crate::{
    database::{Database, Tx},
    error::failed,
    rows::{RowExt as _, row_error, to_i64},
    selector_sql::{condition, shown_state},
    sql::Parameters,
    tenant_counters::{self, CounterKind},
};

/// A page of the devices that match.
pub(crate) async fn list(
    database: &Database,
    tenant: TenantId,
    filter: &DeviceFilter,
    overdue: Option<&OverdueRule>,
    page: PageRequest,
) -> Result<Page<Device>, StoreError> {
    let mut tx = database.read().await?;
    let total = count(&mut tx, tenant, filter, overdue).await?;
    let mut parameters = Parameters::default();
    let of_tenant = parameters.bind(tenant.0);
    let matching = matching(&tx, filter, overdue, &mut parameters);
    let limit = parameters.bind(i64::from(page.limit));
    let offset = parameters.bind(to_i64(page.offset));
    // Select the page first: the subquery of the open update must not run for skipped rows.
    let order = order(&tx, filter, overdue, &mut parameters);
    let sql = format!(
        "SELECT {} FROM (SELECT d.* FROM devices d WHERE d.tenant_id = {of_tenant} AND {matching} \
         ORDER BY {order} LIMIT {limit} OFFSET {offset}) AS d ORDER BY {order}",
        columns()
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("list devices"))?;
    let items = devices(&mut tx, tenant, &rows).await?;
    Ok(Page { items, total })
}

async fn count(
    tx: &mut Tx,
    tenant: TenantId,
    filter: &DeviceFilter,
    overdue: Option<&OverdueRule>,
) -> Result<u64, StoreError> {
    if filter.selector.is_none() {
        return tenant_counters::total(tx, tenant, CounterKind::DevicesByState, None).await;
    }
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(tenant.0);
    let matching = matching(tx, filter, overdue, &mut parameters);
    let sql = format!(
        "SELECT COUNT(*) AS total FROM devices d WHERE d.tenant_id = {tenant} AND {matching}"
    );
    let row = parameters
        .query(sql)?
        .fetch_one(tx.conn())
        .await
        .map_err(failed("count the devices of a list"))?;
    row.count("total")
        .map_err(row_error("count the devices of a list"))
}

fn matching(
    tx: &Tx,
    filter: &DeviceFilter,
    overdue: Option<&OverdueRule>,
    parameters: &mut Parameters,
) -> String {
    match &filter.selector {
        Some(selector) => condition(selector, overdue, tx.dialect(), parameters),
        None => "(1 = 1)".to_owned(),
    }
}

fn order(
    tx: &Tx,
    filter: &DeviceFilter,
    overdue: Option<&OverdueRule>,
    parameters: &mut Parameters,
) -> String {
    let state;
    let (column, may_be_unknown) = match filter.sort {
        DeviceSort::DeviceId => ("d.device_id", false),
        DeviceSort::Name => ("d.name", false),
        DeviceSort::CreatedAt => ("d.created_at", false),
        DeviceSort::LastSeen => ("d.last_seen", true),
        DeviceSort::SwVersion => ("d.sw_version_key", true),
        DeviceSort::HwModel => ("d.hw_model", true),
        DeviceSort::Feed => ("d.feed", true),
        DeviceSort::Mode => ("d.mode", false),
        DeviceSort::State => {
            state = shown_state(overdue, tx.dialect(), parameters);
            (state.as_str(), false)
        }
    };
    let direction = if filter.descending { "DESC" } else { "ASC" };
    // Unknown values are last in both directions. For columns without nulls, NULLS LAST would prevent SQLite from
    // using the index.
    let nulls = if may_be_unknown { " NULLS LAST" } else { "" };
    format!("{column} {direction}{nulls}, d.id {direction}")
}
