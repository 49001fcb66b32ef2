//! Checks of devices that a request names.

use std::collections::HashMap;

use tidegate_core::campaign::Targets;

use super::{CompatibilityCheck, Decision, IntermediateRules, OnFailure, classify};
use crate::{
    Result,
    ports::{SelectedDevice, Store},
};

/// Devices by id, with what is decided on them.
pub(crate) type CheckedDevices = HashMap<String, CheckedDevice>;

/// A device and what is decided on it.
#[derive(Debug)]
pub(crate) struct CheckedDevice {
    pub(crate) device: SelectedDevice,
    pub(crate) decision: Decision,
}

impl CheckedDevice {
    /// Why it gets nothing.
    pub(crate) fn rejection(&self) -> Option<&String> {
        match &self.decision {
            Decision::Incompatible(reason) => Some(reason),
            Decision::Compatible | Decision::After(_) => None,
        }
    }
}

impl CompatibilityCheck<'_> {
    /// Checks these devices. Unknown devices are omitted.
    pub(crate) async fn check_devices(
        &self,
        store: &dyn Store,
        rules: IntermediateRules,
        device_ids: Vec<String>,
    ) -> Result<CheckedDevices> {
        let targets = Targets {
            devices: device_ids,
            ..Targets::default()
        };
        let attributes = &self.policies.attributes;
        let devices = store
            .select(self.tenant, &targets, None, None, attributes)
            .await?;
        let classified = classify(&devices, |_| ());
        let classes = classified.classes.into_iter().map(|((), class)| class);
        let classes: Vec<_> = classes.collect();
        let (on_failure, mut unrecorded) = (OnFailure::Exclude, |_: &_, _: &_| ());
        let decisions = self.decide(store, rules, &classes, on_failure, &mut unrecorded);
        let decisions = decisions.await?;
        let devices = devices.into_iter().zip(classified.class_of);
        Ok(devices
            .map(|(device, class)| {
                let decision = decisions[class as usize].clone();
                let id = device.device_id.clone();
                (id, CheckedDevice { device, decision })
            })
            .collect())
    }
}
