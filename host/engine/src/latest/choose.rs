use std::{collections::BTreeMap, mem, time::Duration};

use tidegate_core::{
    campaign::PluginUse,
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, ClassKey, Context, DeviceClass, Kind},
    version::{self, sort_key},
};

use crate::{
    Engine, Result,
    campaigns::{exclusion, note_call},
    firmware::NamedModels,
    ports::{Candidates, EntryKind},
};

/// The policies that choose: they come with the host, and need no config. The first must be there.
const POLICIES: [&str; 3] = ["latest", HARDWARE, "version-path"];
/// The one that reads what images say of hardware.
const HARDWARE: &str = "hardware";
/// How many candidates are read at a time.
const PAGE: u32 = 20;
/// Of how many candidates for a model, highest version first, policies are asked at most.
pub(super) const MOST: usize = 200;
/// Firmware that is named as not chosen, at most.
const NAMED: usize = 5;
/// From offer to end: as long as an update may have, for nobody waits for it.
pub(super) const TIMEOUT: Duration = Duration::from_hours(24);

/// What a class of devices is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// The newest firmware that every policy lets it onto; none: it is to stay as it is.
    pub chosen: Option<Firmware>,
    /// What was newer, or would have been, and why it was not chosen; highest version first, the first few.
    pub passed: Vec<Passed>,
    /// More firmware may be for its model than is looked at, and what is left has lower versions.
    pub is_cut: bool,
}

/// A firmware that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passed {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Why, with the policy's name.
    pub reason: String,
}

/// Who chooses.
pub(super) struct Chooser<'a> {
    engine: &'a Engine,
    tenant: TenantId,
    policies: Vec<PluginUse>,
    /// The attributes that they want classes to be made of.
    pub(super) wanted: Vec<String>,
}

impl<'a> Chooser<'a> {
    /// None: the tenant has not the policy `latest`, or it is disabled.
    pub(super) async fn of(engine: &'a Engine, tenant: TenantId) -> Result<Option<Self>> {
        let (mut policies, mut wanted) = (Vec::new(), Vec::new());
        for name in POLICIES {
            let revision = engine.store().revision(tenant, name, None).await?;
            let fits = revision
                .filter(|one| one.enabled && one.stored.kind == Kind::Compatibility)
                .map(|revision| revision.stored);
            let Some(stored) = fits else { continue };
            wanted.extend(stored.description.attributes);
            policies.push(PluginUse {
                plugin: name.to_owned(),
                revision: stored.digest,
                version: stored.description.version,
                kind: stored.kind,
                config: "{}".to_owned(),
            });
        }
        wanted.sort_unstable();
        wanted.dedup();
        let is_there = policies
            .first()
            .is_some_and(|one| one.plugin == POLICIES[0]);
        Ok(is_there.then_some(Self {
            engine,
            tenant,
            policies,
            wanted,
        }))
    }

    /// What each of these classes is to have.
    pub(super) async fn choose(&self, classes: &[DeviceClass]) -> Result<Vec<Choice>> {
        let mut choices = vec![Choice::default(); classes.len()];
        let mut by_model: BTreeMap<&str, Vec<Unsettled<'_>>> = BTreeMap::new();
        for (class, choice) in classes.iter().zip(&mut choices) {
            let model = class.key.hardware_model.as_deref().unwrap_or_default();
            if !model.trim().is_empty() {
                let unsettled = Unsettled::new(class, choice);
                by_model.entry(model.trim()).or_default().push(unsettled);
            }
        }
        for (model, left) in by_model {
            self.settle(model, left).await?;
        }
        Ok(choices)
    }

    /// Goes down the candidates for a model until nobody is left who could be on something older.
    async fn settle(&self, model: &str, mut left: Vec<Unsettled<'_>>) -> Result<()> {
        let (mut looked_at, mut after) = (0, None);
        while !left.is_empty() && looked_at < MOST {
            let wanted = Candidates {
                model: model.to_owned(),
                at_least: left.iter().map(|one| one.has.clone()).min().flatten(),
                after: after.take(),
                limit: PAGE,
            };
            let page = self.engine.store().candidates(self.tenant, &wanted).await?;
            for firmware in &page {
                left = self.ask(firmware, left).await;
            }
            if page.len() < PAGE as usize {
                return Ok(());
            }
            looked_at += page.len();
            after = page.last().map(|last| (key(last), last.id));
            // What is held against a version that is not known, is held against it by every candidate.
            left.retain(|one| one.has.is_some());
        }
        for one in left {
            one.choice.is_cut = true;
        }
        Ok(())
    }

    /// Asks whether a firmware is for those who are left; answers who is left then.
    async fn ask<'c>(&self, firmware: &Firmware, left: Vec<Unsettled<'c>>) -> Vec<Unsettled<'c>> {
        let offered = key(firmware);
        let is_behind = |one: &Unsettled<'_>| one.has.as_ref().is_none_or(|has| *has <= offered);
        let (asked, mut still): (Vec<_>, Vec<_>) = left.into_iter().partition(is_behind);
        if asked.is_empty() {
            return still;
        }
        let classes: Vec<_> = asked.iter().map(|one| one.class.clone()).collect();
        let reasons = self.reasons(firmware, classes).await;
        for (one, reason) in asked.into_iter().zip(reasons) {
            let Some(reason) = reason else {
                one.choice.chosen = Some(firmware.clone());
                continue;
            };
            if one.choice.passed.len() < NAMED {
                one.choice.passed.push(Passed::new(firmware, reason));
            }
            still.push(one);
        }
        still
    }

    /// What is newer than `at_least`, the key of a version, and no candidate, and why; the highest versions.
    pub(super) async fn no_candidates(
        &self,
        model: &str,
        at_least: Option<String>,
    ) -> Result<Vec<Passed>> {
        let wanted = Candidates {
            model: model.trim().to_owned(),
            at_least,
            after: None,
            limit: u32::try_from(NAMED).unwrap_or(u32::MAX),
        };
        let store = self.engine.store();
        let found = store.no_candidates(self.tenant, &wanted).await?;
        let passed = found.iter().map(|firmware| {
            let reason = if NamedModels::of(&firmware.details).is_empty() {
                "neither its upload nor its image says which hardware it is for"
            } else {
                "it is a beta"
            };
            Passed::new(firmware, reason.to_owned())
        });
        Ok(passed.collect())
    }

    /// What stands against each class. A policy that fails stands against all that it is asked about.
    async fn reasons(&self, firmware: &Firmware, classes: Vec<DeviceClass>) -> Vec<Option<String>> {
        let mut reasons = vec![None; classes.len()];
        let is_named = firmware.details.device_model.is_some();
        if !is_named && !self.policies.iter().any(|one| one.plugin == HARDWARE) {
            let missing = "the policy hardware, which reads for which hardware its image is, is not there or not enabled";
            reasons.fill(Some(missing.to_owned()));
            return reasons;
        }
        let (mut places, mut classes): (Vec<_>, _) = ((0..classes.len()).collect(), classes);
        for policy in &self.policies {
            if classes.is_empty() {
                break;
            }
            let asked = mem::take(&mut classes);
            let said = self.said(policy, firmware, &asked).await;
            let mut left = Vec::with_capacity(places.len());
            for ((place, class), said) in mem::take(&mut places).into_iter().zip(asked).zip(said) {
                if let Some(said) = said {
                    reasons[place] = Some(format!("{}: {said}", policy.plugin));
                } else {
                    left.push(place);
                    classes.push(class);
                }
            }
            places = left;
        }
        reasons
    }

    /// What a policy says against each class.
    async fn said(
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
        note_call(self.engine, self.tenant, policy, EntryKind::Check, &call);
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
            update_timeout: TIMEOUT,
            auto_rollback: false,
            facts: Vec::new(),
        }
    }
}

/// A class for which nothing is chosen yet.
struct Unsettled<'a> {
    class: &'a DeviceClass,
    choice: &'a mut Choice,
    /// The key of the version that it has, if it is known.
    has: Option<String>,
}

impl<'a> Unsettled<'a> {
    fn new(class: &'a DeviceClass, choice: &'a mut Choice) -> Self {
        let has = class.key.version.as_deref().and_then(known_key);
        Self { class, choice, has }
    }
}

/// The key of a version as a device reports it, unless versions cannot be compared with it.
pub(super) fn known_key(version: &str) -> Option<String> {
    version::semver(version).map(|version| sort_key(&version))
}

fn key(firmware: &Firmware) -> String {
    sort_key(&firmware.details.version)
}

impl Passed {
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
