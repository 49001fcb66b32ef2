use std::{collections::BTreeMap, iter, time::Duration};

use tidegate_core::{
    firmware::Firmware,
    id::TenantId,
    plugin::DeviceClass,
    time::Timestamp,
    version::{is_ordered, sort_key},
};

use crate::{
    PluginCalls, Result,
    compatibility::{
        CompatibilityCheck, DEFAULT_POLICIES, HARDWARE, LATEST, Policies, context_without_campaign,
    },
    firmware::TargetModels,
    ports::{CandidateFilter, Store},
};

/// Candidates read from the store at a time.
const PAGE_SIZE: u32 = 20;
/// Maximum number of candidates for a model that policies are called for, highest version first.
pub(super) const MAX_CANDIDATES: usize = 200;
/// Maximum number of skipped releases in a choice.
const MAX_NAMED: usize = 5;
/// From offer to end: the maximum, because no campaign waits for these updates.
pub(super) const UPDATE_TIMEOUT: Duration = Duration::from_hours(24);

/// The firmware chosen for a class of devices.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareChoice {
    /// The newest firmware that every policy allows; `None`: the class keeps its firmware.
    pub chosen: Option<Firmware>,
    /// Newer releases that were not chosen, highest version first; at most `MAX_NAMED`.
    pub skipped: Vec<SkippedRelease>,
    /// Whether more than `MAX_CANDIDATES` releases may be for the model. Those left out have lower versions.
    pub is_truncated: bool,
}

/// A release that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRelease {
    /// Name of the firmware.
    pub name: String,
    /// Version of the firmware.
    pub version: String,
    /// Why, with the policy's name.
    pub reason: String,
}

/// Chooses firmware for classes of devices with a tenant's policies.
pub(super) struct FirmwareChooser<'a> {
    store: &'a dyn Store,
    plugins: &'a PluginCalls,
    tenant: TenantId,
    now: Timestamp,
    pub(super) policies: Policies,
}

impl<'a> FirmwareChooser<'a> {
    /// `None`: the tenant does not have the policy `latest`, or it is disabled.
    pub(super) async fn load(
        store: &'a dyn Store,
        plugins: &'a PluginCalls,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<Option<Self>> {
        // It chooses, before the default policies are asked, and is required.
        let names: Vec<_> = iter::once(LATEST).chain(DEFAULT_POLICIES).collect();
        let policies = Policies::built_in(store, plugins, tenant, &names).await?;
        Ok(policies.has(&LATEST).then_some(Self {
            store,
            plugins,
            tenant,
            now,
            policies,
        }))
    }

    /// The firmware for each of these classes.
    pub(super) async fn choose(&self, classes: &[DeviceClass]) -> Result<Vec<FirmwareChoice>> {
        let mut choices = vec![FirmwareChoice::default(); classes.len()];
        let mut by_model: BTreeMap<&str, Vec<PendingClass<'_>>> = BTreeMap::new();
        for (class, choice) in classes.iter().zip(&mut choices) {
            let model = class.key.hardware_model.as_deref().unwrap_or_default();
            if !model.trim().is_empty() {
                let pending = PendingClass::new(class, choice);
                by_model.entry(model.trim()).or_default().push(pending);
            }
        }
        for (model, remaining) in by_model {
            self.choose_for_model(model, remaining).await?;
        }
        Ok(choices)
    }

    /// Checks the candidates for a model, highest version first, until every class has a firmware or runs a newer
    /// version.
    async fn choose_for_model(
        &self,
        model: &str,
        mut remaining: Vec<PendingClass<'_>>,
    ) -> Result<()> {
        let (mut checked, mut after) = (0, None);
        while !remaining.is_empty() && checked < MAX_CANDIDATES {
            let filter = CandidateFilter {
                model: model.to_owned(),
                at_least: remaining
                    .iter()
                    .map(|class| class.installed_key.clone())
                    .min()
                    .flatten(),
                after: after.take(),
                limit: PAGE_SIZE,
            };
            let page = self.store.candidates(self.tenant, &filter).await?;
            for firmware in &page {
                remaining = self.check_firmware(firmware, remaining).await?;
            }
            if page.len() < PAGE_SIZE as usize {
                return Ok(());
            }
            checked += page.len();
            after = page.last().map(|last| (key(last), last.id));
            // Policies refuse an unknown version for every candidate alike.
            remaining.retain(|class| class.installed_key.is_some());
        }
        for class in remaining {
            class.choice.is_truncated = true;
        }
        Ok(())
    }

    /// Checks a firmware for the pending classes. Returns the classes that are still pending.
    async fn check_firmware<'c>(
        &self,
        firmware: &Firmware,
        remaining: Vec<PendingClass<'c>>,
    ) -> Result<Vec<PendingClass<'c>>> {
        let offered = key(firmware);
        let is_not_newer = |class: &PendingClass<'_>| {
            class
                .installed_key
                .as_ref()
                .is_none_or(|installed_key| *installed_key <= offered)
        };
        let (asked, mut still): (Vec<_>, Vec<_>) = remaining.into_iter().partition(is_not_newer);
        if asked.is_empty() {
            return Ok(still);
        }
        let classes: Vec<_> = asked.iter().map(|class| class.class.clone()).collect();
        let exclusion_reasons = self.exclusion_reasons(firmware, classes).await?;
        for (class, reason) in asked.into_iter().zip(exclusion_reasons) {
            let Some(reason) = reason else {
                class.choice.chosen = Some(firmware.clone());
                continue;
            };
            if class.choice.skipped.len() < MAX_NAMED {
                class
                    .choice
                    .skipped
                    .push(SkippedRelease::new(firmware, reason));
            }
            still.push(class);
        }
        Ok(still)
    }

    /// Releases of at least the version key `at_least` that are no candidates, with reasons; highest versions first.
    pub(super) async fn excluded_candidates(
        &self,
        model: &str,
        at_least: Option<String>,
    ) -> Result<Vec<SkippedRelease>> {
        let filter = CandidateFilter {
            model: model.trim().to_owned(),
            at_least,
            after: None,
            limit: u32::try_from(MAX_NAMED).unwrap_or(u32::MAX),
        };
        let found = self.store.excluded_candidates(self.tenant, &filter).await?;
        let skipped = found.iter().map(|firmware| {
            let reason = if TargetModels::of(&firmware.details).is_empty() {
                "neither its upload nor its image names the hardware that it is for"
            } else if !is_ordered(&firmware.details.version) {
                "its version has no order, such as 1.2.3 or 2026.05 has"
            } else {
                "it is a beta"
            };
            SkippedRelease::new(firmware, reason.to_owned())
        });
        Ok(skipped.collect())
    }

    /// The reason against each class, if any.
    async fn exclusion_reasons(
        &self,
        firmware: &Firmware,
        classes: Vec<DeviceClass>,
    ) -> Result<Vec<Option<String>>> {
        let is_named = firmware.details.device_model.is_some();
        if !is_named && !self.policies.has(&HARDWARE) {
            let missing = "the policy hardware, which checks the hardware named in its image, is missing or disabled";
            return Ok(vec![Some(missing.to_owned()); classes.len()]);
        }
        let check = CompatibilityCheck {
            plugins: self.plugins,
            tenant: self.tenant,
            policies: &self.policies,
            firmware,
            context: context_without_campaign(self.now, UPDATE_TIMEOUT),
        };
        check.reasons(classes).await
    }
}

/// A class without a chosen firmware yet.
struct PendingClass<'a> {
    class: &'a DeviceClass,
    choice: &'a mut FirmwareChoice,
    /// Key of the installed version, if it is known.
    installed_key: Option<String>,
}

impl<'a> PendingClass<'a> {
    fn new(class: &'a DeviceClass, choice: &'a mut FirmwareChoice) -> Self {
        let installed_key = class.key.version.as_deref().and_then(version_key);
        Self {
            class,
            choice,
            installed_key,
        }
    }
}

/// The sort key of a version; `None` if it has no order.
pub(super) fn version_key(version: &str) -> Option<String> {
    is_ordered(version).then(|| sort_key(version))
}

fn key(firmware: &Firmware) -> String {
    sort_key(&firmware.details.version)
}

impl SkippedRelease {
    fn new(firmware: &Firmware, reason: String) -> Self {
        Self {
            name: firmware.details.name.clone(),
            version: firmware.details.version.clone(),
            reason,
        }
    }
}
