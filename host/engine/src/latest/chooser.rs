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

/// The policies that choose: they come with the host, and need no config. The first must be there.
const DEFAULT_POLICIES: [&str; 3] = ["latest", HARDWARE, "version-path"];
/// The one that reads what images say of hardware.
const HARDWARE: &str = "hardware";
/// How many candidates are read at a time.
const PAGE_SIZE: u32 = 20;
/// Of how many candidates for a model, highest version first, policies are asked at most.
pub(super) const MAX_CANDIDATES: usize = 200;
/// Firmware that is named as not chosen, at most.
const MAX_NAMED: usize = 5;
/// From offer to end: as long as an update may have, for nobody waits for it.
pub(super) const UPDATE_TIMEOUT: Duration = Duration::from_hours(24);

/// What a class of devices is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FirmwareChoice {
    /// The newest firmware that every policy lets it onto; none: it is to stay as it is.
    pub chosen: Option<Firmware>,
    /// What was newer, or would have been, and why it was not chosen; highest version first, the first few.
    pub skipped: Vec<SkippedRelease>,
    /// More firmware may be for its model than is looked at, and what is left has lower versions.
    pub is_truncated: bool,
}

/// A firmware that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedRelease {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Why, with the policy's name.
    pub reason: String,
}

/// Who chooses.
pub(super) struct FirmwareChooser<'a> {
    engine: &'a Engine,
    tenant: TenantId,
    policies: Vec<PluginUse>,
    /// The attributes that they want classes to be made of.
    pub(super) attributes: Vec<String>,
}

impl<'a> FirmwareChooser<'a> {
    /// None: the tenant has not the policy `latest`, or it is disabled.
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

    /// What each of these classes is to have.
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

    /// Goes down the candidates for a model until nobody is left who could be on something older.
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
            // What is held against a version that is not known, is held against it by every candidate.
            remaining.retain(|class| class.installed_key.is_some());
        }
        for class in remaining {
            class.choice.is_truncated = true;
        }
        Ok(())
    }

    /// Asks whether a firmware is for those who are left; answers who is left then.
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

    /// What is newer than `at_least`, the key of a version, and no candidate, and why; the highest versions.
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
                "neither its upload nor its image says which hardware it is for"
            } else {
                "it is a beta"
            };
            SkippedRelease::new(firmware, reason.to_owned())
        });
        Ok(skipped.collect())
    }

    /// What stands against each class. A policy that fails stands against all that it is asked about.
    async fn exclusion_reasons(
        &self,
        firmware: &Firmware,
        classes: Vec<DeviceClass>,
    ) -> Vec<Option<String>> {
        let mut exclusion_reasons = vec![None; classes.len()];
        let is_named = firmware.details.device_model.is_some();
        if !is_named && !self.policies.iter().any(|policy| policy.plugin == HARDWARE) {
            let missing = "the policy hardware, which reads for which hardware its image is, is not there or not enabled";
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

    /// What a policy says against each class.
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

/// A class for which nothing is chosen yet.
struct PendingClass<'a> {
    class: &'a DeviceClass,
    choice: &'a mut FirmwareChoice,
    /// The key of the version that it has, if it is known.
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

/// The key of a version as a device reports it, unless versions cannot be compared with it.
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

/// One class of its own.
pub(super) fn class(key: ClassKey, devices: u64) -> DeviceClass {
    DeviceClass { key, devices }
}
