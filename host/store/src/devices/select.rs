use std::collections::{HashMap, HashSet};

use sqlx::any::AnyRow;
use tidegate_core::{
    campaign::Targets,
    id::{DeviceKey, TenantId},
    plugin::ClassKey,
    selector::Selector,
};
use tidegate_engine::ports::{Selected, StoreError};

use crate::{
    database::{Database, Tx},
    dialect::{Dialect, storable},
    error::failed,
    rows::{BadRow, Columns as _, bad_row, to_json},
    selector_sql::condition,
    sql::Parameters,
};

/// The devices that a campaign means, with what plugins tell them by: three statements, however many devices.
pub(super) async fn select(
    database: &Database,
    tenant: TenantId,
    targets: &Targets,
    filter: Option<&Selector>,
    wanted: &[String],
) -> Result<Vec<Selected>, StoreError> {
    let meant = Meant {
        tenant,
        targets,
        filter,
    };
    let mut tx = database.read().await?;
    let mut selected = devices(&mut tx, &meant).await?;
    let places: HashMap<_, _> = selected
        .iter()
        .enumerate()
        .map(|(place, device)| (device.key, place))
        .collect();
    add_groups(&mut tx, &meant, &mut selected, &places).await?;
    if !wanted.is_empty() {
        add_attributes(&mut tx, &meant, wanted, &mut selected, &places).await?;
    }
    Ok(selected)
}

/// The keys of the devices that match a selector.
pub(super) async fn matching(
    database: &Database,
    tenant: TenantId,
    selector: &Selector,
) -> Result<HashSet<DeviceKey>, StoreError> {
    let mut tx = database.once().await?;
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(tenant.0);
    let matches = condition(selector, tx.dialect(), &mut parameters);
    let sql = format!("SELECT d.id FROM devices d WHERE d.tenant_id = {tenant} AND {matches}");
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("match devices"))?;
    let key = |row: &AnyRow| row.take(0).map(DeviceKey);
    rows.iter()
        .map(key)
        .collect::<Result<_, _>>()
        .map_err(bad_row("read device row"))
}

/// Which devices are meant.
struct Meant<'a> {
    tenant: TenantId,
    targets: &'a Targets,
    filter: Option<&'a Selector>,
}

impl Meant<'_> {
    /// A condition on the table `devices d`, besides that they are the tenant's.
    fn condition(
        &self,
        dialect: Dialect,
        parameters: &mut Parameters,
    ) -> Result<String, StoreError> {
        let mut any = Vec::new();
        if !self.targets.devices.is_empty() {
            let ids = parameters.bind(json_of(&self.targets.devices)?);
            let ids = dialect.texts(&ids);
            any.push(format!("d.device_id IN (SELECT value FROM {ids})"));
        }
        if !self.targets.groups.is_empty() {
            let groups = parameters.bind(json_of(&self.targets.groups)?);
            let groups = dialect.texts(&groups);
            // As a set of devices, which is made once, not asked for each of them.
            let tenant = parameters.bind(self.tenant.0);
            any.push(format!(
                "d.id IN (SELECT g.device_id FROM device_groups g \
                 WHERE g.tenant_id = {tenant} AND g.name IN (SELECT value FROM {groups}))"
            ));
        }
        if let Some(filter) = self.filter {
            any.push(condition(filter, dialect, parameters));
        }
        if any.is_empty() {
            any.push("(1 = 0)".to_owned());
        }
        Ok(format!("({})", any.join(" OR ")))
    }
}

async fn devices(tx: &mut Tx, meant: &Meant<'_>) -> Result<Vec<Selected>, StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(meant.tenant.0);
    let condition = meant.condition(tx.dialect(), &mut parameters)?;
    let sql = format!(
        "SELECT d.id, d.device_id, d.hw_model, d.hw_revision, d.sw_version \
         FROM devices d WHERE d.tenant_id = {tenant} AND {condition}"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("select devices"))?;
    let device = |row: &AnyRow| -> Result<Selected, BadRow> {
        Ok(Selected {
            key: DeviceKey(row.take(0)?),
            device_id: row.take(1)?,
            class: ClassKey {
                hardware_model: row.take(2)?,
                hardware_revision: row.take(3)?,
                version: row.take(4)?,
                attributes: Vec::new(),
            },
            groups: Vec::new(),
        })
    };
    rows.iter()
        .map(device)
        .collect::<Result<_, _>>()
        .map_err(bad_row("read device row"))
}

async fn add_groups(
    tx: &mut Tx,
    meant: &Meant<'_>,
    selected: &mut [Selected],
    places: &HashMap<DeviceKey, usize>,
) -> Result<(), StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(meant.tenant.0);
    let condition = meant.condition(tx.dialect(), &mut parameters)?;
    let sql = format!(
        "SELECT m.device_id, m.name FROM device_groups m \
         JOIN devices d ON d.tenant_id = m.tenant_id AND d.id = m.device_id \
         WHERE d.tenant_id = {tenant} AND {condition} ORDER BY m.name"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the groups of selected devices"))?;
    for row in &rows {
        let mut read = || -> Result<(), BadRow> {
            let key = DeviceKey(row.take(0)?);
            if let Some(device) = places.get(&key).and_then(|place| selected.get_mut(*place)) {
                device.groups.push(row.take(1)?);
            }
            Ok(())
        };
        read().map_err(bad_row("read device group row"))?;
    }
    Ok(())
}

/// The wanted attributes that each device has, in the order in which they are wanted.
async fn add_attributes(
    tx: &mut Tx,
    meant: &Meant<'_>,
    wanted: &[String],
    selected: &mut [Selected],
    places: &HashMap<DeviceKey, usize>,
) -> Result<(), StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(meant.tenant.0);
    let condition = meant.condition(tx.dialect(), &mut parameters)?;
    let keys = parameters.bind(json_of(wanted)?);
    let sql = format!(
        "SELECT b.device_id, b.attribute_key, b.value FROM device_attributes b \
         JOIN devices d ON d.tenant_id = b.tenant_id AND d.id = b.device_id \
         WHERE d.tenant_id = {tenant} AND {condition} AND b.attribute_key IN (SELECT value FROM {})",
        tx.dialect().texts(&keys)
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the attributes of selected devices"))?;
    for row in &rows {
        let mut read = || -> Result<(), BadRow> {
            let key = DeviceKey(row.take(0)?);
            if let Some(device) = places.get(&key).and_then(|place| selected.get_mut(*place)) {
                let attributes = &mut device.class.attributes;
                attributes.push((row.take(1)?, row.take(2)?));
            }
            Ok(())
        };
        read().map_err(bad_row("read device attribute row"))?;
    }
    let order: HashMap<_, _> = wanted
        .iter()
        .enumerate()
        .map(|(place, key)| (key.as_str(), place))
        .collect();
    for device in selected {
        let attributes = &mut device.class.attributes;
        attributes.sort_by_key(|(key, _)| order.get(key.as_str()).copied());
    }
    Ok(())
}

fn json_of(texts: &[String]) -> Result<String, StoreError> {
    let texts: Vec<_> = texts.iter().map(|text| storable(text)).collect();
    to_json(&texts)
}
