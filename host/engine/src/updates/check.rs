use std::{collections::HashMap, time::Duration};

use tidegate_core::{
    campaign::{PluginUse, Targets},
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, Context, DeviceClass, FieldError, Kind},
    time::Timestamp,
};

use super::{Wish, wish::invalid};
use crate::{
    Engine, Result,
    campaigns::{choose, exclusion, note_call},
    ports::{EntryKind, Selected},
};

/// The policies that are asked when nobody names any: they come with the host, and need no config.
const CUSTOMARY: [&str; 2] = ["hardware", "version-path"];

/// The policies that are asked of an update, each with the attributes that it wants to see.
pub(super) struct Policies {
    uses: Vec<PluginUse>,
    wanted: Vec<String>,
}

/// Devices by id, each with what policies say against it.
pub(super) type Checked = HashMap<String, (Selected, Option<String>)>;

impl Policies {
    /// Those of the wish, or the customary ones as far as the tenant has them enabled; none when it is forced.
    pub(super) async fn of(engine: &Engine, tenant: TenantId, wish: &Wish) -> Result<Self> {
        let mut broken = Vec::new();
        let mut uses = Vec::new();
        for (index, choice) in wish.policies.iter().flatten().enumerate() {
            let path = format!("/policies/{index}");
            let chosen = choose(engine, tenant, &path, choice, &mut broken).await?;
            if let Some(other) = chosen
                .as_ref()
                .filter(|one| one.kind != Kind::Compatibility)
            {
                broken.push(FieldError {
                    path: format!("{path}/plugin"),
                    message: format!("{} is no compatibility policy", other.plugin),
                });
            }
            uses.extend(chosen);
        }
        if !broken.is_empty() {
            return Err(invalid(broken));
        }
        if wish.force {
            return Self::all(engine, tenant, Vec::new()).await;
        }
        if wish.policies.is_none() {
            return Self::named(engine, tenant, &CUSTOMARY).await;
        }
        Self::all(engine, tenant, uses).await
    }

    /// Policies by name, each with its defaults; those that the tenant has not, or not enabled, are left out.
    pub(super) async fn named(engine: &Engine, tenant: TenantId, names: &[&str]) -> Result<Self> {
        let mut uses = Vec::with_capacity(names.len());
        for name in names {
            let revision = engine.store().revision(tenant, name, None).await?;
            let fits = revision
                .filter(|one| one.enabled && one.stored.kind == Kind::Compatibility)
                .map(|revision| PluginUse {
                    plugin: (*name).to_owned(),
                    revision: revision.stored.digest,
                    version: revision.stored.description.version,
                    kind: revision.stored.kind,
                    config: "{}".to_owned(),
                });
            uses.extend(fits);
        }
        Self::all(engine, tenant, uses).await
    }

    async fn all(engine: &Engine, tenant: TenantId, uses: Vec<PluginUse>) -> Result<Self> {
        let mut wanted = Vec::new();
        for policy in &uses {
            let revision = engine
                .store()
                .revision(tenant, &policy.plugin, Some(policy.revision))
                .await?;
            wanted.extend(
                revision
                    .into_iter()
                    .flat_map(|one| one.stored.description.attributes),
            );
        }
        wanted.sort_unstable();
        wanted.dedup();
        Ok(Self { uses, wanted })
    }

    /// Asks the policies about these devices; those that are not there are left out.
    pub(super) async fn check(
        &self,
        engine: &Engine,
        tenant: TenantId,
        firmware: &Firmware,
        timeout: Duration,
        device_ids: Vec<String>,
    ) -> Result<Checked> {
        let targets = Targets {
            devices: device_ids,
            groups: Vec::new(),
            feed: None,
            filter: None,
        };
        let selected = engine
            .store()
            .select(tenant, &targets, None, &self.wanted)
            .await?;
        let (classes, class_of) = classify(&selected);
        let reasons = self
            .reasons(engine, tenant, firmware, timeout, classes)
            .await;
        Ok(selected
            .into_iter()
            .zip(class_of)
            .map(|(device, class)| {
                let reason = reasons.get(class).cloned().flatten();
                (device.device_id.clone(), (device, reason))
            })
            .collect())
    }

    /// What stands against each class. A policy that fails stands against all.
    async fn reasons(
        &self,
        engine: &Engine,
        tenant: TenantId,
        firmware: &Firmware,
        timeout: Duration,
        classes: Vec<DeviceClass>,
    ) -> Vec<Option<String>> {
        let mut reasons = vec![None; classes.len()];
        if classes.is_empty() {
            return reasons;
        }
        for policy in &self.uses {
            let now = engine.now();
            let input = CheckInput {
                context: context(now, timeout),
                firmware: firmware.details.facts(),
                classes: classes.clone(),
                config: policy.config.clone(),
            };
            let call = engine.sandbox().check(policy.revision, input).await;
            note_call(engine, tenant, policy, EntryKind::Check, &call);
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
}

/// The classes of these devices, and the index of each device's class.
fn classify(selected: &[Selected]) -> (Vec<DeviceClass>, Vec<usize>) {
    let mut classes: Vec<DeviceClass> = Vec::new();
    let mut places = HashMap::new();
    let of = selected.iter().map(|device| {
        let place = *places.entry(&device.class).or_insert_with(|| {
            classes.push(DeviceClass {
                key: device.class.clone(),
                devices: 0,
            });
            classes.len() - 1
        });
        classes[place].devices += 1;
        place
    });
    let of = of.collect();
    (classes, of)
}

/// What policies are told of an update that has no campaign.
fn context(now: Timestamp, timeout: Duration) -> Context {
    Context {
        now,
        seed: 0,
        started_at: None,
        max_in_flight: None,
        failure_ceiling: 10_000,
        update_timeout: timeout,
        auto_rollback: false,
        facts: Vec::new(),
    }
}
