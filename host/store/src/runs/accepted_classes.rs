use std::collections::{BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::DeviceKey,
    plugin::ClassKey,
    time::Timestamp,
    update::{CompatibilityBasis, UpdatePolicies},
};
use tidegate_engine::ports::{Offer, RunRef, StoreError};

use crate::{
    campaigns::json::ClassJson,
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    updates::unit_of_work::DeviceRow,
};

const READ: &str = "read the accepted classes of a campaign";

/// The classes that the campaign's policies accepted when it started.
#[derive(Default)]
pub(super) struct AcceptedClasses {
    at: Option<Timestamp>,
    classes: BTreeSet<ClassKey>,
    /// The attributes of the devices that distinguish classes, ordered by key.
    attributes: HashMap<DeviceKey, Vec<(String, String)>>,
}

impl AcceptedClasses {
    /// Reads nothing if the campaign has no compatibility policy.
    pub(super) async fn load(
        tx: &mut Tx,
        run: RunRef,
        devices: &BTreeSet<DeviceKey>,
        offer: &Offer,
    ) -> Result<Self, StoreError> {
        if offer.compatibility.policies != Some(UpdatePolicies::Campaign) {
            return Ok(Self::default());
        }
        let mut accepted = Self::read(tx, run).await?;
        let classes = accepted.classes.iter();
        let names: BTreeSet<&str> = classes
            .flat_map(|class| class.attributes.iter().map(|(name, _)| name.as_str()))
            .collect();
        if !names.is_empty() {
            accepted.attributes = attributes(tx, run, devices, &names).await?;
        }
        Ok(accepted)
    }

    async fn read(tx: &mut Tx, run: RunRef) -> Result<Self, StoreError> {
        let rows = sqlx::query(
            "SELECT c.class_key, r.started_at FROM campaign_classes c \
             JOIN campaign_runs r ON r.tenant_id = c.tenant_id AND r.campaign_id = c.campaign_id \
             WHERE c.tenant_id = $1 AND c.campaign_id = $2 AND c.exclusion_reason IS NULL",
        )
        .bind(run.tenant.0)
        .bind(run.campaign.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
        let mut accepted = Self::default();
        for row in &rows {
            let read = || {
                let class: ClassKey = row.json::<ClassJson>("class_key")?.into();
                Ok::<_, RowError>((class, row.take::<Option<i64>>("started_at")?))
            };
            let (mut class, at) = read().map_err(row_error(READ))?;
            class.attributes.sort_unstable();
            accepted.classes.insert(class);
            accepted.at = at.map(Timestamp);
        }
        Ok(accepted)
    }

    /// What the compatibility of a new update of the device is based on. A device of a class that was not accepted has to
    /// be checked before it is offered the update.
    pub(super) fn basis(
        &self,
        key: DeviceKey,
        device: &DeviceRow,
        offer: &Offer,
    ) -> Option<CompatibilityBasis> {
        let policies = offer.compatibility.policies.clone()?;
        let class = ClassKey {
            hardware_model: device.hw_model.clone(),
            hardware_revision: device.hw_revision.clone(),
            version: device.sw_version.clone(),
            attributes: self.attributes.get(&key).cloned().unwrap_or_default(),
        };
        let is_accepted = self.classes.contains(&class);
        let accepted = self.at.filter(|_| is_accepted);
        Some(CompatibilityBasis {
            policies,
            accepted: accepted.map(|at| (device.class(), at)),
        })
    }
}

/// These attributes of the devices, ordered by name.
async fn attributes(
    tx: &mut Tx,
    run: RunRef,
    devices: &BTreeSet<DeviceKey>,
    names: &BTreeSet<&str>,
) -> Result<HashMap<DeviceKey, Vec<(String, String)>>, StoreError> {
    let keys: Vec<i64> = devices.iter().map(|key| key.0).collect();
    let of_devices = tx.dialect().key_in_json("device_key", "$2");
    let names_of = tx.dialect().json_texts("$3");
    let sql = format!(
        "SELECT device_key, attribute_key, value FROM device_attributes WHERE +tenant_id = $1 AND {of_devices} \
         AND attribute_key IN (SELECT value FROM {names_of})"
    );
    let rows = sqlx::query(AssertSqlSafe(sql))
        .bind(run.tenant.0)
        .bind(to_json(&keys)?)
        .bind(to_json(names)?)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let mut attributes: HashMap<DeviceKey, Vec<(String, String)>> = HashMap::new();
    for row in &rows {
        let read = || {
            let device = DeviceKey(row.take("device_key")?);
            let pair: (String, String) = (row.take("attribute_key")?, row.take("value")?);
            Ok::<_, RowError>((device, pair))
        };
        let (device, pair) = read().map_err(row_error(READ))?;
        attributes.entry(device).or_default().push(pair);
    }
    for pairs in attributes.values_mut() {
        pairs.sort_unstable();
    }
    Ok(attributes)
}
