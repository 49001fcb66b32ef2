use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::{DeviceKey, TenantId},
    update::CompatibilityBasis,
};
use tidegate_engine::ports::StoreError;

use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
};

const READ: &str = "read the attributes of device classes";

/// Attributes of a tenant's devices that are part of their class, because policies request them.
#[derive(Debug, Default)]
pub(crate) struct ClassAttributes {
    /// The names that are read.
    names: BTreeSet<String>,
    values: HashMap<DeviceKey, BTreeMap<String, String>>,
}

impl ClassAttributes {
    /// Reads those of these attributes that are not read yet; usually none.
    pub(crate) async fn read<'a>(
        &mut self,
        tx: &mut Tx,
        tenant: TenantId,
        devices: impl Iterator<Item = DeviceKey>,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        let new: BTreeSet<&str> = names.filter(|name| !self.names.contains(*name)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let devices: Vec<i64> = devices.map(|key| key.0).collect();
        let of_devices = tx.dialect().key_in_json("device_key", "$2");
        let new_names = tx.dialect().json_texts("$3");
        let sql = format!(
            "SELECT device_key, attribute_key, value FROM device_attributes WHERE +tenant_id = $1 AND {of_devices} \
             AND attribute_key IN (SELECT value FROM {new_names})"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(tenant.0)
            .bind(to_json(&devices)?)
            .bind(to_json(&new)?)
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
        for row in &rows {
            let read = || {
                let device = DeviceKey(row.take("device_key")?);
                Ok::<_, RowError>((device, row.take("attribute_key")?, row.take("value")?))
            };
            let (device, name, value) = read().map_err(row_error(READ))?;
            self.values.entry(device).or_default().insert(name, value);
        }
        let new: Vec<_> = new.into_iter().map(str::to_owned).collect();
        self.names.extend(new);
        Ok(())
    }

    /// The named attributes that the device has, in this order. They must have been read.
    pub(crate) fn of(&self, device: DeviceKey, names: &[String]) -> Vec<(String, String)> {
        let Some(values) = self.values.get(&device) else {
            return Vec::new();
        };
        let known = names.iter().filter_map(|name| values.get_key_value(name));
        known
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// The device has these attributes now.
    pub(crate) fn set(&mut self, device: DeviceKey, attributes: &BTreeMap<String, String>) {
        if self.names.is_empty() {
            return;
        }
        let known = self
            .names
            .iter()
            .filter_map(|name| attributes.get_key_value(name));
        let values = known.map(|(name, value)| (name.clone(), value.clone()));
        self.values.insert(device, values.collect());
    }
}

/// The names of the attributes that the classes of updates have.
pub(crate) fn attribute_names<'a>(
    bases: impl Iterator<Item = &'a CompatibilityBasis>,
) -> impl Iterator<Item = &'a str> {
    bases.flat_map(|basis| basis.attributes.iter().map(String::as_str))
}
