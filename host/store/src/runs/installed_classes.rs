use std::collections::{BTreeSet, HashMap};

use sqlx::AssertSqlSafe;
use tidegate_core::{
    Named as _,
    id::{DeviceKey, FirmwareId},
    update::{CompatibilityBasis, Update, UpdateStatus},
};
use tidegate_engine::ports::{RunRef, StoreError};

use crate::{
    database::Tx,
    error::failed,
    rows::{RowError, RowExt as _, row_error, to_json},
    updates::compatibility,
};

const READ: &str = "read the classes of installed firmware";

/// As what each device was accepted for a firmware that it installed and to which it may return.
pub(super) struct InstalledClasses(HashMap<(DeviceKey, FirmwareId), CompatibilityBasis>);

impl InstalledClasses {
    pub(super) async fn load(
        tx: &mut Tx,
        run: RunRef,
        devices: &BTreeSet<DeviceKey>,
        firmware: impl Iterator<Item = FirmwareId>,
    ) -> Result<Self, StoreError> {
        let devices: Vec<i64> = devices.iter().map(|key| key.0).collect();
        let firmware: Vec<i64> = firmware.map(|id| id.0).collect();
        if firmware.is_empty() {
            return Ok(Self(HashMap::new()));
        }
        let of_devices = tx.dialect().key_in_json("device_key", "$2");
        let of_firmware = tx.dialect().key_in_json("firmware_id", "$3");
        let sql = format!(
            "SELECT device_key, firmware_id, compatibility FROM updates WHERE tenant_id = $1 AND {of_devices} \
             AND {of_firmware} AND status = $4 AND compatibility IS NOT NULL ORDER BY id"
        );
        let rows = sqlx::query(AssertSqlSafe(sql))
            .bind(run.tenant.0)
            .bind(to_json(&devices)?)
            .bind(to_json(&firmware)?)
            .bind(UpdateStatus::Completed.as_str())
            .fetch_all(tx.conn())
            .await
            .map_err(failed(READ))?;
        let mut classes = HashMap::new();
        for row in &rows {
            let read = || {
                let device = DeviceKey(row.take("device_key")?);
                let firmware = FirmwareId(row.take("firmware_id")?);
                Ok::<_, RowError>((device, firmware, compatibility::from_row(row)?))
            };
            let (device, firmware, basis) = read().map_err(row_error(READ))?;
            // The newest installation counts.
            let basis = basis.as_ref().and_then(CompatibilityBasis::for_rollback);
            classes.extend(basis.map(|basis| ((device, firmware), basis)));
        }
        Ok(Self(classes))
    }

    /// What the compatibility of a rollback to this firmware is based on: the class that the device had when it installed
    /// the firmware, otherwise when the campaign updated it.
    pub(super) fn basis(
        &self,
        device: DeviceKey,
        firmware: FirmwareId,
        forward: Option<&Update>,
    ) -> Option<CompatibilityBasis> {
        let of_forward = || forward?.compatibility.as_ref()?.for_rollback();
        let installed = self.0.get(&(device, firmware)).cloned();
        installed.or_else(of_forward)
    }
}
