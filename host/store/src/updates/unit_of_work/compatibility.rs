//! The classes of devices that the compatibility of their updates depends on.

use std::collections::BTreeMap;

use tidegate_core::{
    id::{CampaignId, DeviceKey, UpdateId},
    plugin::ClassKey,
    time::Timestamp,
    update::{CompatibilityBasis, UpdateEvent},
};
use tidegate_engine::ports::{Offer, OfferedFirmware, StoreError};

use super::UpdateUnitOfWork;
use crate::{database::Tx, tenant_counters::TenantCounters};

impl UpdateUnitOfWork {
    /// Reads these attributes of all devices, as far as they are not read yet.
    pub(crate) async fn read_class_attributes<'a>(
        &mut self,
        tx: &mut Tx,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(), StoreError> {
        let devices = self.devices.keys().copied();
        self.class_attributes
            .read(tx, self.tenant, devices, names)
            .await
    }

    /// A device reported its attributes: it has these now.
    pub(crate) fn set_class_attributes(
        &mut self,
        key: DeviceKey,
        attributes: &BTreeMap<String, String>,
    ) {
        self.class_attributes.set(key, attributes);
    }

    /// The class of a device for policies that request these attributes, which must have been read.
    pub(crate) fn class(&self, key: DeviceKey, attributes: &[String]) -> Option<ClassKey> {
        let device = self.device(key)?;
        Some(ClassKey {
            hardware_model: device.hw_model.clone(),
            hardware_revision: device.hw_revision.clone(),
            version: device.sw_version.clone(),
            attributes: self.class_attributes.of(key, attributes),
        })
    }

    /// The firmware of a new update of the device, and what its compatibility is based on.
    pub(crate) fn offered(&self, key: DeviceKey, offer: &Offer) -> OfferedFirmware {
        let decides = offer.compatibility.policies.is_some();
        let class = || self.class(key, &offer.compatibility.attributes);
        let class = decides.then(class).flatten();
        class.map_or_else(|| offer.unchecked(), |class| offer.for_device(key, &class))
    }

    /// Whether the device may be offered an update on this basis without another check.
    pub(super) fn covers(&self, key: DeviceKey, basis: Option<&CompatibilityBasis>) -> bool {
        basis.is_none_or(|basis| {
            let class = self.class(key, &basis.attributes);
            class.is_some_and(|class| basis.covers(&class))
        })
    }

    /// Whether the device may be offered the update without another check of its compatibility.
    pub(crate) fn is_covered(&self, id: UpdateId) -> bool {
        self.loaded(id).is_none_or(|loaded| {
            let update = &loaded.update;
            self.covers(update.device, update.compatibility.as_ref())
        })
    }

    /// Withdraws the offers that the device has not begun and that were made to it as another class, until policies have
    /// checked it again. Returns the campaigns of the changed updates.
    pub(crate) fn withdraw_offers(
        &mut self,
        key: DeviceKey,
        at: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) -> Vec<Option<CampaignId>> {
        let offers = self.updates_of(key).map(|loaded| &loaded.update);
        let changed: Vec<_> = offers
            .filter(|update| update.state.is_unbegun_offer())
            .filter(|update| !self.covers(key, update.compatibility.as_ref()))
            .map(|update| (update.id, update.campaign.map(|(campaign, _)| campaign)))
            .collect();
        for (id, _) in &changed {
            // Cannot fail: an offer that is not begun can be withdrawn.
            let _ = self.apply_event(*id, &UpdateEvent::ClassChanged, at, tenant_counters);
        }
        changed.into_iter().map(|(_, campaign)| campaign).collect()
    }
}
