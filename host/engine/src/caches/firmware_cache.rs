use std::sync::Arc;

use quick_cache::sync::Cache;
use tidegate_core::{
    firmware::Firmware,
    id::{FirmwareId, ModuleId, TenantId, UpdateId},
};

use crate::{Result, ports::Store};

/// Maximum number of cached firmware.
const MAX_FIRMWARE: usize = 1_000;
/// Maximum number of cached ids, for modules and for updates each.
const MAX_IDS: usize = 100_000;

/// Caches firmware, and the firmware ids of modules and updates. They never change once stored, so a device that
/// downloads a file in hundreds of ranges does not cause hundreds of reads.
pub(crate) struct FirmwareCache {
    firmware: Cache<(TenantId, FirmwareId), Arc<Firmware>>,
    of_module: Cache<(TenantId, ModuleId), FirmwareId>,
    of_update: Cache<(TenantId, UpdateId), FirmwareId>,
}

impl Default for FirmwareCache {
    fn default() -> Self {
        Self {
            firmware: Cache::new(MAX_FIRMWARE),
            of_module: Cache::new(MAX_IDS),
            of_update: Cache::new(MAX_IDS),
        }
    }
}

impl FirmwareCache {
    pub(crate) async fn firmware(
        &self,
        store: &dyn Store,
        tenant: TenantId,
        id: FirmwareId,
    ) -> Result<Option<Arc<Firmware>>> {
        if let Some(firmware) = self.firmware.get(&(tenant, id)) {
            return Ok(Some(firmware));
        }
        let firmware = store.firmware(tenant, id).await?.map(Arc::new);
        if let Some(firmware) = &firmware {
            self.firmware.insert((tenant, id), Arc::clone(firmware));
        }
        Ok(firmware)
    }

    pub(crate) async fn firmware_of_module(
        &self,
        store: &dyn Store,
        tenant: TenantId,
        module: ModuleId,
    ) -> Result<Option<Arc<Firmware>>> {
        if let Some(id) = self.of_module.get(&(tenant, module)) {
            return self.firmware(store, tenant, id).await;
        }
        let firmware = store.firmware_of_module(tenant, module).await?;
        let firmware = firmware.map(Arc::new);
        if let Some(firmware) = &firmware {
            self.of_module.insert((tenant, module), firmware.id);
            self.firmware
                .insert((tenant, firmware.id), Arc::clone(firmware));
        }
        Ok(firmware)
    }

    pub(crate) async fn firmware_id_of_update(
        &self,
        store: &dyn Store,
        tenant: TenantId,
        update: UpdateId,
    ) -> Result<Option<FirmwareId>> {
        if let Some(id) = self.of_update.get(&(tenant, update)) {
            return Ok(Some(id));
        }
        let row = store.update(tenant, update).await?;
        let id = row.map(|row| row.update.firmware);
        if let Some(id) = id {
            self.of_update.insert((tenant, update), id);
        }
        Ok(id)
    }
}
