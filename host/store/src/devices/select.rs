use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    sync::Arc,
};

use tidegate_core::{
    campaign::Targets,
    id::{DeviceKey, TenantId},
    mode::DeviceMode,
    plugin::ClassKey,
    selector::Selector,
};
use tidegate_engine::ports::{OverdueRule, SelectedDevice, StoreError};

use crate::{
    database::{Database, Tx},
    dialect::{Dialect, storable},
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    selector_sql::condition,
    sql::Parameters,
};

/// Selects the targeted devices, or those among `keys`, with their classes and groups, in three statements for any number of
/// devices.
///
/// A row costs the driver more than the database, so each row lists many devices. What several devices have is shared.
/// SQLite has no statistics and joins cross joins in the written order: devices first, then their groups or attributes by
/// key.
pub(crate) async fn select(
    database: &Database,
    tenant: TenantId,
    targets: &Targets,
    filter: Option<&Selector>,
    overdue: Option<&OverdueRule>,
    attributes: &[String],
    keys: Option<&[DeviceKey]>,
) -> Result<Vec<SelectedDevice>, StoreError> {
    let target = DeviceTarget {
        tenant,
        targets,
        filter,
        overdue,
        keys,
    };
    let mut tx = database.read().await?;
    let mut selected = devices(&mut tx, &target).await?;
    selected.sort_unstable_by_key(|device| device.key);
    add_groups(&mut tx, &target, &mut selected).await?;
    if !attributes.is_empty() {
        add_attributes(&mut tx, &target, attributes, &mut selected).await?;
    }
    Ok(selected)
}

/// The next `limit` targeted devices behind one, ordered by key.
pub(crate) async fn targeted_page(
    database: &Database,
    tenant: TenantId,
    targets: &Targets,
    filter: Option<&Selector>,
    overdue: Option<&OverdueRule>,
    (after, limit): (DeviceKey, u32),
) -> Result<Vec<DeviceKey>, StoreError> {
    const READ: &str = "read a page of targeted devices";
    let target = DeviceTarget {
        tenant,
        targets,
        filter,
        overdue,
        keys: None,
    };
    let mut tx = database.read_single().await?;
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(tenant.0);
    let condition = target.condition(tx.dialect(), &mut parameters)?;
    let (after, limit) = (parameters.bind(after.0), parameters.bind(i64::from(limit)));
    let sql = format!(
        "SELECT d.id FROM devices d WHERE d.tenant_id = {tenant} AND d.id > {after} AND {condition} \
         ORDER BY d.id LIMIT {limit}"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let keys = rows.iter().map(|row| row.take("id").map(DeviceKey));
    keys.collect::<Result<_, _>>().map_err(row_error(READ))
}

pub(crate) async fn matching(
    database: &Database,
    tenant: TenantId,
    selector: &Selector,
    overdue: Option<&OverdueRule>,
) -> Result<HashSet<DeviceKey>, StoreError> {
    let mut tx = database.read_single().await?;
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(tenant.0);
    let matches = condition(selector, overdue, tx.dialect(), &mut parameters);
    let sql = format!(
        "SELECT string_agg(CAST(d.id AS TEXT), ',') FROM devices d \
         WHERE d.tenant_id = {tenant} AND {matches}"
    );
    let row = parameters
        .query(sql)?
        .fetch_one(tx.conn())
        .await
        .map_err(failed("match devices"))?;
    let read = || -> Result<_, RowError> {
        match row.take::<Option<&str>>(0)? {
            Some(list) => parse_keys(list).collect(),
            None => Ok(HashSet::new()),
        }
    };
    read().map_err(row_error("read device row"))
}

/// The targets of a campaign.
struct DeviceTarget<'a> {
    tenant: TenantId,
    targets: &'a Targets,
    filter: Option<&'a Selector>,
    overdue: Option<&'a OverdueRule>,
    /// Only these devices.
    keys: Option<&'a [DeviceKey]>,
}

impl DeviceTarget<'_> {
    /// A condition on `devices d`, without the tenant.
    fn condition(
        &self,
        dialect: Dialect,
        parameters: &mut Parameters,
    ) -> Result<String, StoreError> {
        let mut any = Vec::new();
        if !self.targets.devices.is_empty() {
            let ids = parameters.bind(storable_json(&self.targets.devices)?);
            let ids = dialect.json_texts(&ids);
            any.push(format!("d.device_id IN (SELECT value FROM {ids})"));
        }
        if !self.targets.groups.is_empty() {
            let groups = parameters.bind(storable_json(&self.targets.groups)?);
            let groups = dialect.json_texts(&groups);
            any.push(format!(
                "EXISTS (SELECT 1 FROM device_groups g WHERE g.tenant_id = d.tenant_id \
                 AND g.device_key = d.id AND g.name IN (SELECT value FROM {groups}))"
            ));
        }
        if let Some(feed) = &self.targets.feed {
            let feed = parameters.bind(storable(feed).into_owned());
            any.push(format!("(d.feed IS NOT NULL AND d.feed = {feed})"));
        }
        if let Some(filter) = self.filter {
            any.push(condition(filter, self.overdue, dialect, parameters));
        }
        if any.is_empty() {
            any.push("(1 = 0)".to_owned());
        }
        let any = any.join(" OR ");
        let Some(keys) = self.keys else {
            return Ok(format!("({any})"));
        };
        let keys: Vec<i64> = keys.iter().map(|key| key.0).collect();
        let keys = parameters.bind(to_json(&keys)?);
        let is_among = dialect.key_in_json("d.id", &keys);
        Ok(format!("({any}) AND {is_among}"))
    }
}

/// One row for each class and mode, with the keys and ids of its devices.
async fn devices(
    tx: &mut Tx,
    target: &DeviceTarget<'_>,
) -> Result<Vec<SelectedDevice>, StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(target.tenant.0);
    let condition = target.condition(tx.dialect(), &mut parameters)?;
    let line_end = parameters.bind("\n");
    let sql = format!(
        "SELECT d.hw_model, d.hw_revision, d.sw_version, d.mode, \
         string_agg(CAST(d.id AS TEXT) || ' ' || d.device_id, {line_end}) \
         FROM devices d WHERE d.tenant_id = {tenant} AND {condition} \
         GROUP BY d.hw_model, d.hw_revision, d.sw_version, d.mode"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("select devices"))?;
    let mut selected = Vec::new();
    for row in &rows {
        let mut read = || -> Result<(), RowError> {
            let class = Arc::new(ClassKey {
                hardware_model: row.take(0)?,
                hardware_revision: row.take(1)?,
                version: row.take(2)?,
                attributes: Vec::new(),
            });
            let mode: DeviceMode = row.parse("mode")?;
            for device in row.take::<&str>(4)?.split('\n') {
                let (key, device_id) = device.split_once(' ').unwrap_or((device, ""));
                selected.push(SelectedDevice {
                    key: parse_key(key)?,
                    device_id: device_id.to_owned(),
                    class: Arc::clone(&class),
                    groups: Vec::new(),
                    mode,
                });
            }
            Ok(())
        };
        read().map_err(row_error("read device row"))?;
    }
    Ok(selected)
}

/// The index of a device in a list that is ordered by key.
fn index_of(selected: &[SelectedDevice], key: DeviceKey) -> Option<usize> {
    selected
        .binary_search_by_key(&key, |device| device.key)
        .ok()
}

/// One row for each group, with the keys of its devices.
async fn add_groups(
    tx: &mut Tx,
    target: &DeviceTarget<'_>,
    selected: &mut [SelectedDevice],
) -> Result<(), StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(target.tenant.0);
    let condition = target.condition(tx.dialect(), &mut parameters)?;
    let sql = format!(
        "SELECT m.name, string_agg(CAST(d.id AS TEXT), ',') \
         FROM devices d CROSS JOIN device_groups m \
         WHERE d.tenant_id = {tenant} AND {condition} \
         AND m.tenant_id = d.tenant_id AND m.device_key = d.id GROUP BY m.name ORDER BY m.name"
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the groups of selected devices"))?;
    for row in &rows {
        let mut read = || -> Result<(), RowError> {
            let name: Arc<str> = row.take::<&str>(0)?.into();
            for key in parse_keys(row.take(1)?) {
                if let Some(index) = index_of(selected, key?) {
                    selected[index].groups.push(Arc::clone(&name));
                }
            }
            Ok(())
        };
        read().map_err(row_error("read device group row"))?;
    }
    Ok(())
}

/// Adds these attributes in this order: one row for each value.
async fn add_attributes(
    tx: &mut Tx,
    target: &DeviceTarget<'_>,
    attributes: &[String],
    selected: &mut [SelectedDevice],
) -> Result<(), StoreError> {
    let mut parameters = Parameters::default();
    let tenant = parameters.bind(target.tenant.0);
    let condition = target.condition(tx.dialect(), &mut parameters)?;
    let keys = parameters.bind(storable_json(attributes)?);
    let sql = format!(
        "SELECT b.attribute_key, b.value, string_agg(CAST(d.id AS TEXT), ',') \
         FROM devices d CROSS JOIN device_attributes b \
         WHERE d.tenant_id = {tenant} AND {condition} \
         AND b.tenant_id = d.tenant_id AND b.device_key = d.id \
         AND b.attribute_key IN (SELECT value FROM {}) GROUP BY b.attribute_key, b.value",
        tx.dialect().json_texts(&keys)
    );
    let rows = parameters
        .query(sql)?
        .fetch_all(tx.conn())
        .await
        .map_err(failed("read the attributes of selected devices"))?;
    let order: HashMap<_, _> = attributes.iter().map(String::as_str).zip(0..).collect();
    // The attributes of each device as numbers: the position in `attributes`, and the row.
    let mut of_devices: Vec<Vec<(usize, usize)>> = vec![Vec::new(); selected.len()];
    for (number, row) in rows.iter().enumerate() {
        let mut read = || -> Result<(), RowError> {
            let position = order.get(row.take::<&str>(0)?).copied();
            for device in parse_keys(row.take(2)?) {
                if let (Some(position), Some(index)) = (position, index_of(selected, device?)) {
                    of_devices[index].push((position, number));
                }
            }
            Ok(())
        };
        read().map_err(row_error("read device attribute row"))?;
    }
    let mut classes: HashMap<_, Arc<ClassKey>> = HashMap::new();
    for (device, mut numbers) in selected.iter_mut().zip(of_devices) {
        numbers.sort_unstable();
        let class = match classes.entry((Arc::clone(&device.class), numbers)) {
            Entry::Occupied(entry) => Arc::clone(entry.get()),
            Entry::Vacant(entry) => {
                let numbers = entry.key().1.iter();
                let attributes =
                    numbers.map(|(_, row)| Ok((rows[*row].take(0)?, rows[*row].take(1)?)));
                let attributes: Result<_, RowError> = attributes.collect();
                let class = ClassKey {
                    attributes: attributes.map_err(row_error("read device attribute row"))?,
                    ..ClassKey::clone(&device.class)
                };
                Arc::clone(entry.insert(Arc::new(class)))
            }
        };
        device.class = class;
    }
    Ok(())
}

fn parse_keys(list: &str) -> impl Iterator<Item = Result<DeviceKey, RowError>> {
    list.split(',').map(parse_key)
}

fn parse_key(text: &str) -> Result<DeviceKey, RowError> {
    text.parse().map_err(|_| RowError::UnknownValue {
        column: "device key",
        value: text.to_owned(),
    })
}

fn storable_json(texts: &[String]) -> Result<String, StoreError> {
    let texts: Vec<_> = texts.iter().map(|text| storable(text)).collect();
    to_json(&texts)
}
