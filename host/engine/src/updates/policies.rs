use std::{collections::HashMap, time::Duration};

use tidegate_core::{
    campaign::{PluginUse, Targets},
    firmware::Firmware,
    id::TenantId,
    plugin::{CheckInput, Context, DeviceClass, FieldError, PluginKind},
    time::Timestamp,
};

use super::UpdateRequest;
use crate::{
    Engine, Result,
    campaigns::{exclusion, record_call, resolve_plugin},
    ports::{EntryKind, SelectedDevice},
};

/// The policies that are used by default: built in, and usable without a config.
const DEFAULT_POLICIES: [&str; 2] = ["hardware", "version-path"];

/// The policies of an update, and the device attributes that they need.
pub(super) struct Policies {
    uses: Vec<PluginUse>,
    attributes: Vec<String>,
}

/// Devices by id, each with the reason of a policy that rejects it.
pub(super) type CheckedDevices = HashMap<String, (SelectedDevice, Option<String>)>;

/// The policies that a request names. What is invalid is added to `errors`.
pub(super) async fn choose_policies(
    engine: &Engine,
    tenant: TenantId,
    request: &UpdateRequest,
    errors: &mut Vec<FieldError>,
) -> Result<Vec<PluginUse>> {
    let mut chosen = Vec::new();
    for (index, choice) in request.policies.iter().flatten().enumerate() {
        let path = format!("policies.{index}");
        let policy = resolve_plugin(engine, tenant, &path, choice, errors).await?;
        if let Some(other) = policy
            .as_ref()
            .filter(|policy| policy.kind != PluginKind::Compatibility)
        {
            errors.push(FieldError {
                path: format!("{path}.plugin"),
                message: format!("{} is not a compatibility policy", other.plugin),
            });
        }
        chosen.extend(policy);
    }
    Ok(chosen)
}

impl Policies {
    /// The policies of the request, or else the default policies that the tenant has enabled; none if the request is
    /// forced.
    pub(super) async fn for_request(
        engine: &Engine,
        tenant: TenantId,
        request: &UpdateRequest,
        chosen: Vec<PluginUse>,
    ) -> Result<Self> {
        if request.force {
            return Self::load(engine, tenant, Vec::new()).await;
        }
        if request.policies.is_none() {
            return Self::by_name(engine, tenant, &DEFAULT_POLICIES).await;
        }
        Self::load(engine, tenant, chosen).await
    }

    /// Policies by name, with default configs. Policies that the tenant does not have or has disabled are omitted.
    pub(super) async fn by_name(engine: &Engine, tenant: TenantId, names: &[&str]) -> Result<Self> {
        let mut uses = Vec::with_capacity(names.len());
        for name in names {
            let revision = engine.store().revision(tenant, name, None).await?;
            let fits = revision
                .filter(|one| one.enabled && one.stored.kind == PluginKind::Compatibility)
                .map(|revision| PluginUse {
                    plugin: (*name).to_owned(),
                    revision: revision.stored.digest,
                    version: revision.stored.description.version,
                    kind: revision.stored.kind,
                    config: "{}".to_owned(),
                });
            uses.extend(fits);
        }
        Self::load(engine, tenant, uses).await
    }

    async fn load(engine: &Engine, tenant: TenantId, uses: Vec<PluginUse>) -> Result<Self> {
        let mut attributes = Vec::new();
        for policy in &uses {
            let revision = engine
                .store()
                .revision(tenant, &policy.plugin, Some(policy.revision))
                .await?;
            attributes.extend(
                revision
                    .into_iter()
                    .flat_map(|one| one.stored.description.attributes),
            );
        }
        attributes.sort_unstable();
        attributes.dedup();
        Ok(Self { uses, attributes })
    }

    /// Checks these devices. Unknown devices are omitted.
    pub(super) async fn check(
        &self,
        engine: &Engine,
        tenant: TenantId,
        firmware: &Firmware,
        timeout: Duration,
        device_ids: Vec<String>,
    ) -> Result<CheckedDevices> {
        let targets = Targets {
            devices: device_ids,
            groups: Vec::new(),
            feed: None,
            filter: None,
        };
        let selected = engine
            .store()
            .select(tenant, &targets, None, &self.attributes)
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

    /// Why each class is rejected. A policy that fails rejects all classes.
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
            record_call(engine, tenant, policy, EntryKind::Check, &call);
            let exclusions: Vec<Option<String>> = match &call.outcome {
                Ok(verdicts) => verdicts.iter().map(exclusion).collect(),
                Err(failure) => vec![Some(format!("the policy failed: {failure}")); classes.len()],
            };
            for (reason, exclusion) in reasons.iter_mut().zip(exclusions) {
                *reason = reason.take().or_else(|| {
                    exclusion.map(|exclusion| format!("{}: {exclusion}", policy.plugin))
                });
            }
        }
        reasons
    }
}

/// The classes of these devices, and for each device the index of its class.
fn classify(selected: &[SelectedDevice]) -> (Vec<DeviceClass>, Vec<usize>) {
    let mut classes: Vec<DeviceClass> = Vec::new();
    let mut indices = HashMap::new();
    let of = selected.iter().map(|device| {
        let index = *indices.entry(&device.class).or_insert_with(|| {
            classes.push(DeviceClass {
                key: device.class.clone(),
                devices: 0,
            });
            classes.len() - 1
        });
        classes[index].devices += 1;
        index
    });
    let of = of.collect();
    (classes, of)
}

/// The context that policies get for an update without a campaign.
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
