use std::{collections::BTreeMap, time::Duration};

use tidegate_core::{
    campaign::PluginUse,
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, ClassKey, Context, DeviceClass, Kind},
    version::sort_key,
};

use crate::{
    Engine, Result,
    campaigns::{exclusion, note_call},
    ports::{EntryKind, FirmwareFilter, PageRequest},
};

/// The policies that choose: they come with the host, and need no config. The first must be there.
const POLICIES: [&str; 3] = ["latest", "hardware", "version-path"];
/// How many of a model's newest uploads are considered.
const UPLOADS: u32 = 100;
/// How many of these, highest version first, policies are asked about.
const CANDIDATES: usize = 20;
/// From offer to end: as long as an update may have, for nobody waits for it.
pub(super) const TIMEOUT: Duration = Duration::from_hours(24);

/// What a class of devices is to have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Choice {
    /// The newest firmware that every policy lets it onto; none: it is to stay as it is.
    pub chosen: Option<Firmware>,
    /// What was newer, or would have been, and why it was not chosen; highest version first.
    pub passed: Vec<Passed>,
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
        let mut by_model: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, class) in classes.iter().enumerate() {
            if let Some(model) = &class.key.hardware_model {
                by_model.entry(model).or_default().push(index);
            }
        }
        for (model, mut left) in by_model {
            for firmware in self.candidates(model).await? {
                if left.is_empty() {
                    break;
                }
                let asked: Vec<_> = left.iter().map(|index| classes[*index].clone()).collect();
                let reasons = self.reasons(&firmware, &asked).await;
                let mut still = Vec::with_capacity(left.len());
                for (index, reason) in left.into_iter().zip(reasons) {
                    match reason {
                        None => choices[index].chosen = Some(firmware.clone()),
                        Some(reason) => {
                            choices[index].passed.push(Passed::new(&firmware, reason));
                            still.push(index);
                        }
                    }
                }
                left = still;
            }
        }
        Ok(choices)
    }

    /// Firmware for this model, highest version first.
    async fn candidates(&self, model: &str) -> Result<Vec<Firmware>> {
        let filter = FirmwareFilter {
            device_model: Some(model.to_owned()),
            ..FirmwareFilter::default()
        };
        let newest = PageRequest {
            limit: UPLOADS,
            offset: 0,
        };
        let found = self
            .engine
            .store()
            .list_firmware(self.tenant, &filter, newest)
            .await?;
        let mut candidates = found.items;
        candidates.sort_by_cached_key(|firmware| {
            std::cmp::Reverse((sort_key(&firmware.details.version), firmware.id))
        });
        candidates.truncate(CANDIDATES);
        Ok(candidates)
    }

    /// What stands against each class. A policy that fails stands against all.
    async fn reasons(&self, firmware: &Firmware, classes: &[DeviceClass]) -> Vec<Option<String>> {
        let mut reasons = vec![None; classes.len()];
        for policy in &self.policies {
            let input = CheckInput {
                context: self.context(),
                firmware: firmware.details.facts(),
                classes: classes.to_vec(),
                config: policy.config.clone(),
            };
            let call = self.engine.sandbox().check(policy.revision, input).await;
            note_call(self.engine, self.tenant, policy, EntryKind::Check, &call);
            let said: Vec<Option<String>> = match &call.outcome {
                Ok(verdicts) => verdicts.iter().map(exclusion).collect(),
                Err(failure) => vec![Some(format!("the policy failed: {failure}")); classes.len()],
            };
            for (reason, said) in reasons.iter_mut().zip(said) {
                *reason = reason
                    .take()
                    .or_else(|| said.map(|said| format!("{}: {said}", policy.plugin)));
            }
        }
        reasons
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
