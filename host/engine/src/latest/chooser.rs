use std::{collections::BTreeMap, mem, time::Duration};

use tidegate_core::{
    campaign::PluginUse,
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, ClassKey, Context, DeviceClass, PluginKind},
    version::{self, sort_key},
};

use crate::{
    Engine, Result,
    campaigns::{exclusion, record_call},
    firmware::TargetModels,
    ports::{CandidateFilter, EntryKind},
};

/// The built-in policies that choose, without a config. The first is required.
const DEFAULT_POLICIES: [&str; 3] = ["latest", HARDWARE, "version-path"];
/// The policy that evaluates the hardware named in images.
const HARDWARE: &str = "hardware";
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
    engine: &'a Engine,
    tenant: TenantId,
    policies: Vec<PluginUse>,
    /// The attributes that the policies need in class keys.
    pub(super) attributes: Vec<String>,
}

impl<'a> FirmwareChooser<'a> {
    /// `None`: the tenant does not have the policy `latest`, or it is disabled.
    pub(super) async fn load(engine: &'a Engine, tenant: TenantId) -> Result<Option<Self>> {
        let (mut policies, mut attributes) = (Vec::new(), Vec::new());
        for name in DEFAULT_POLICIES {
            let revision = engine.store().revision(tenant, name, None).await?;
            let fits = revision
                .filter(|policy| policy.enabled && policy.stored.kind == PluginKind::Compatibility)
                .map(|revision| revision.stored);
            let Some(stored) = fits else { continue };
            attributes.extend(stored.description.attributes);
            policies.push(PluginUse {
                plugin: name.to_owned(),
                revision: stored.digest,
                version: stored.description.version,
                kind: stored.kind,
                config: "{}".to_owned(),
            });
        }
        attributes.sort_unstable();
        attributes.dedup();
        let is_there = policies
            .first()
            .is_some_and(|policy| policy.plugin == DEFAULT_POLICIES[0]);
        Ok(is_there.then_some(Self {
            engine,
            tenant,
            policies,
            attributes,
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
            let page = self.engine.store().candidates(self.tenant, &filter).await?;
            for firmware in &page {
                remaining = self.check_firmware(firmware, remaining).await;
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
    ) -> Vec<PendingClass<'c>> {
        let offered = key(firmware);
        let is_not_newer = |class: &PendingClass<'_>| {
            class
                .installed_key
                .as_ref()
                .is_none_or(|installed_key| *installed_key <= offered)
        };
        let (asked, mut still): (Vec<_>, Vec<_>) = remaining.into_iter().partition(is_not_newer);
        if asked.is_empty() {
            return still;
        }
        let classes: Vec<_> = asked.iter().map(|class| class.class.clone()).collect();
        let exclusion_reasons = self.exclusion_reasons(firmware, classes).await;
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
        still
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
        let store = self.engine.store();
        let found = store.excluded_candidates(self.tenant, &filter).await?;
        let skipped = found.iter().map(|firmware| {
            let reason = if TargetModels::of(&firmware.details).is_empty() {
                "neither its upload nor its image names the hardware that it is for"
            } else {
                "it is a beta"
            };
            SkippedRelease::new(firmware, reason.to_owned())
        });
        Ok(skipped.collect())
    }

    /// The reason against each class, if any. A policy that fails excludes all classes that it was called for.
    async fn exclusion_reasons(
        &self,
        firmware: &Firmware,
        classes: Vec<DeviceClass>,
    ) -> Vec<Option<String>> {
        let mut exclusion_reasons = vec![None; classes.len()];
        let is_named = firmware.details.device_model.is_some();
        if !is_named && !self.policies.iter().any(|policy| policy.plugin == HARDWARE) {
            let missing = "the policy hardware, which checks the hardware named in its image, is missing or disabled";
            exclusion_reasons.fill(Some(missing.to_owned()));
            return exclusion_reasons;
        }
        let (mut indices, mut classes): (Vec<_>, _) = ((0..classes.len()).collect(), classes);
        for policy in &self.policies {
            if classes.is_empty() {
                break;
            }
            let asked = mem::take(&mut classes);
            let reasons = self.check_policy(policy, firmware, &asked).await;
            let mut remaining = Vec::with_capacity(indices.len());
            for ((index, class), reason) in
                mem::take(&mut indices).into_iter().zip(asked).zip(reasons)
            {
                if let Some(reason) = reason {
                    exclusion_reasons[index] = Some(format!("{}: {reason}", policy.plugin));
                } else {
                    remaining.push(index);
                    classes.push(class);
                }
            }
            indices = remaining;
        }
        exclusion_reasons
    }

    /// A policy's reason against each class, if any.
    async fn check_policy(
        &self,
        policy: &PluginUse,
        firmware: &Firmware,
        classes: &[DeviceClass],
    ) -> Vec<Option<String>> {
        let input = CheckInput {
            context: self.context(),
            firmware: firmware.details.facts(),
            classes: classes.to_vec(),
            config: policy.config.clone(),
        };
        let call = self.engine.sandbox().check(policy.revision, input).await;
        record_call(self.engine, self.tenant, policy, EntryKind::Check, &call);
        match &call.outcome {
            Ok(verdicts) => verdicts.iter().map(exclusion).collect(),
            Err(failure) => vec![Some(format!("the policy failed: {failure}")); classes.len()],
        }
    }

    fn context(&self) -> Context {
        Context {
            now: self.engine.now(),
            seed: 0,
            started_at: None,
            max_in_flight: None,
            failure_ceiling: 10_000,
            update_timeout: UPDATE_TIMEOUT,
            auto_rollback: false,
            facts: Vec::new(),
        }
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

/// The sort key of a reported version; `None` if it is not a comparable version.
pub(super) fn version_key(version: &str) -> Option<String> {
    version::semver(version).map(|version| sort_key(&version))
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

pub(super) fn class(key: ClassKey, devices: u64) -> DeviceClass {
    DeviceClass { key, devices }
}
