use std::{
    collections::{BTreeMap, HashSet},
    mem,
};

use tidegate_core::{
    Named as _,
    campaign::{Campaign, PluginUse},
    device_fields::DEVICE_FIELDS,
    firmware::Firmware,
    mode::DeviceMode,
    order,
    plugin::{
        AssignInput, Compatibility, Context, DeviceClass, Members, PageOf, Plan, PlanInput,
        PluginKind, PluginName,
    },
    selection::{self, MembershipInput},
    selector::{ParseError, Selector, parse},
    time::Timestamp,
};

use super::{
    fleet::Fleet,
    journal_entry::{host_journal_entry, journal_entry},
};
use crate::{
    Caches, Error, PluginCalls, Result,
    compatibility::{
        CompatibilityCheck, Decision, DevicesByClass, IntermediateRules, OnFailure, Policies,
        classify, compatibility_policies,
    },
    overdue::overdue,
    plugin_calls::{PluginCall, temporary_error},
    ports::{
        CallQuota, CampaignStart, ClassVerdict, NewJournalEntry, NewWave, OverdueRule,
        SelectedDevice, Store,
    },
};

/// Maximum number of unknown devices that are named.
const MAX_MISSING_NAMED: usize = 5;

/// Maximum number of device classes of a campaign.
pub(super) const MAX_CLASSES: usize = 100_000;

/// Prepares a campaign's start: selects the devices, calls the policies, and plans the waves. Reads the database and
/// calls plugins; writes nothing. The calls are added to `journal`, also those before an error.
pub(super) async fn prepare(
    store: &dyn Store,
    caches: &Caches,
    plugins: &PluginCalls,
    campaign: &Campaign,
    at: Timestamp,
    journal: &mut Vec<NewJournalEntry>,
) -> Result<CampaignStart> {
    let overdue = overdue(store, caches, campaign.tenant, at).await?;
    let firmware = campaign_firmware(store, campaign).await?;
    let mut preparation = Preparation {
        store,
        plugins,
        campaign,
        firmware: &firmware,
        overdue,
        at,
        journal,
    };
    let attributes = preparation.class_attributes().await?;
    let names: Vec<_> = attributes.keys().cloned().collect();
    let selected = preparation.select(&names).await?;
    let DevicesByClass { classes, class_of } = classify(&selected, excluded_mode);
    check_class_count(&classes, &attributes)?;
    let verdicts = preparation.check_classes(classes).await?;
    let compatible: Vec<usize> = (0..selected.len())
        .filter(|at| verdicts[class_of[*at] as usize].excluded.is_none())
        .collect();
    if compatible.is_empty() {
        return Err(no_compatible_devices(&selected, &verdicts));
    }
    preparation.record_intermediate(&verdicts);
    let keys = selected.iter().map(|device| device.key);
    let class_of_keys = keys.zip(class_of.iter().copied()).collect();
    let fleet = Fleet::new(campaign, selected, &class_of, &verdicts, compatible);
    drop(class_of);
    let plan = preparation.plan(&fleet).await?;
    let waves = preparation.resolve(&plan, &fleet).await?;
    Ok(CampaignStart {
        at,
        waves,
        parallel: plan.parallel,
        is_dynamic: plan.dynamic,
        classes: verdicts,
        selected: class_of_keys,
        journal: mem::take(journal),
    })
}

pub(super) async fn campaign_firmware(store: &dyn Store, campaign: &Campaign) -> Result<Firmware> {
    let firmware = store
        .firmware(campaign.tenant, campaign.spec.firmware)
        .await?;
    firmware.ok_or_else(|| Error::not_found("firmware", campaign.spec.firmware))
}

/// The parsed filter of the campaign's targets.
pub(super) fn target_filter(campaign: &Campaign) -> Result<Option<Selector>> {
    let filter = campaign.spec.targets.filter.as_ref();
    let parsed = filter.map(|filter| filter.parse(&DEVICE_FIELDS));
    let parsed = parsed.transpose();
    parsed.map_err(|error| invalid_selector(&error))
}

/// The time that a call of a plugin is shown. Plugins rely on a clock that never goes back within a campaign.
pub(super) fn call_time(campaign: &Campaign, now: Timestamp) -> Timestamp {
    let earlier = campaign.started_at.max(campaign.last_call_at);
    earlier.map_or(now, |earlier| earlier.max(now))
}

/// The part of the input that all plugin calls of a campaign share.
pub(super) fn context(campaign: &Campaign, now: Timestamp) -> Context {
    Context {
        now: call_time(campaign, now),
        seed: order::seed(campaign.id),
        started_at: campaign.started_at,
        max_in_flight: campaign.spec.max_concurrent_updates,
        failure_ceiling: u16::from(campaign.spec.failure_threshold_percent) * 100,
        update_timeout: campaign.spec.options.timeouts.update,
        auto_rollback: campaign.spec.auto_rollback,
        facts: Vec::new(),
    }
}

/// Which firmware devices of the campaign may install before its own.
pub(super) fn intermediate_rules(campaign: &Campaign, firmware: &Firmware) -> IntermediateRules {
    let spec = &campaign.spec;
    IntermediateRules::of_update(&spec.options, firmware, spec.allow_beta)
}

/// What a campaign records of a class that was checked.
pub(super) fn class_verdict(class: DeviceClass, decision: Decision) -> ClassVerdict {
    let (excluded, intermediate) = match decision {
        Decision::Compatible => (None, None),
        Decision::After(intermediate) => (None, Some(intermediate)),
        Decision::Incompatible(reason) => (Some(reason), None),
    };
    ClassVerdict {
        key: class.key,
        devices: class.devices,
        excluded,
        intermediate,
        is_unchecked: false,
    }
}

struct Preparation<'a> {
    store: &'a dyn Store,
    plugins: &'a PluginCalls,
    campaign: &'a Campaign,
    firmware: &'a Firmware,
    /// For selectors over states.
    overdue: Option<OverdueRule>,
    at: Timestamp,
    journal: &'a mut Vec<NewJournalEntry>,
}

impl Preparation<'_> {
    async fn select(&mut self, attributes: &[String]) -> Result<Vec<SelectedDevice>> {
        let filter = target_filter(self.campaign)?;
        let (tenant, targets) = (self.campaign.tenant, &self.campaign.spec.targets);
        let selected = self
            .store
            .select(
                tenant,
                targets,
                filter.as_ref(),
                self.overdue.as_ref(),
                attributes,
            )
            .await?;
        if selected.is_empty() {
            let message = "no device matches the campaign's targets";
            return Err(Error::conflict("no_devices", message));
        }
        self.record_missing_devices(&selected);
        Ok(selected)
    }

    /// Records the targeted devices that do not exist. They may be created until the campaign starts.
    fn record_missing_devices(&mut self, selected: &[SelectedDevice]) {
        let named = &self.campaign.spec.targets.devices;
        if named.is_empty() {
            return;
        }
        let there: HashSet<&str> = selected
            .iter()
            .map(|device| device.device_id.as_str())
            .collect();
        let mut missing: Vec<&str> = named.iter().map(String::as_str).collect();
        missing.retain(|id| !there.contains(id));
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return;
        }
        let first = missing[..missing.len().min(MAX_MISSING_NAMED)].join(", ");
        let more = match missing.len().saturating_sub(MAX_MISSING_NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let explain = format!(
            "{} of the devices in target_devices do not exist and are not included: {first}{more}",
            missing.len()
        );
        self.journal
            .push(host_journal_entry(self.at, "missing", explain));
    }

    /// Records the firmware that devices of the campaign get before its own.
    fn record_intermediate(&mut self, verdicts: &[ClassVerdict]) {
        let mut devices: BTreeMap<_, u64> = BTreeMap::new();
        for verdict in verdicts {
            if let Some(first) = &verdict.intermediate {
                *devices.entry((first.firmware, &first.version)).or_default() += verdict.devices;
            }
        }
        for ((firmware, version), devices) in devices {
            let explain = format!(
                "{devices} devices are offered the intermediate version {version} (firmware {firmware}) first"
            );
            let entry = host_journal_entry(self.at, "intermediate", explain);
            self.journal.push(entry);
        }
    }

    /// The attributes that the campaign's plugins want in class keys, each with the plugins that want it.
    async fn class_attributes(&mut self) -> Result<BTreeMap<String, Vec<PluginName>>> {
        let (tenant, spec) = (self.campaign.tenant, &self.campaign.spec);
        let mut attributes: BTreeMap<String, Vec<PluginName>> = BTreeMap::new();
        for plugin in spec.plugins() {
            let (name, digest) = (&plugin.plugin, plugin.revision);
            let revision = self.store.revision(tenant, name, digest).await?;
            let revision = revision.ok_or_else(|| Error::not_found("plugin revision", digest))?;
            if !revision.state.may_be_named() {
                let message = format!("the revision {digest} of {name} is disabled");
                return Err(Error::conflict("revision_disabled", message));
            }
            let advice = "Change the campaign to a revision that was built for it.";
            self.plugins.require_contract(&revision.stored, advice)?;
            let wants = self.plugins.wants(tenant, CallQuota::Planning, plugin);
            let wants = match wants.await {
                Ok(wants) => wants,
                Err(failed) => self.record(plugin, failed.into())?,
            };
            for attribute in wants.attributes {
                attributes.entry(attribute).or_default().push(name.clone());
            }
        }
        Ok(attributes)
    }

    /// A class is compatible if every compatibility policy says so, maybe after an intermediate version. Classes of devices
    /// in another mode than `rollout` are excluded without a check; they follow the others.
    async fn check_classes(
        &mut self,
        classes: Vec<(Option<DeviceMode>, DeviceClass)>,
    ) -> Result<Vec<ClassVerdict>> {
        let policies = Policies {
            uses: compatibility_policies(self.campaign),
            ..Policies::default()
        };
        let check = CompatibilityCheck {
            plugins: self.plugins,
            tenant: self.campaign.tenant,
            policies: &policies,
            firmware: self.firmware,
            context: context(self.campaign, self.at),
        };
        let asked = classes.iter().take_while(|(mode, _)| mode.is_none());
        let asked: Vec<_> = asked.map(|(_, class)| class.clone()).collect();
        let (at, journal) = (self.at, &mut self.journal);
        let mut record = |policy: &PluginUse, call: &PluginCall<Vec<Compatibility>>| {
            journal.push(journal_entry(policy, at, call));
        };
        let rules = intermediate_rules(self.campaign, self.firmware);
        let (store, on_failure) = (self.store, OnFailure::Exclude);
        let decisions = check.decide(store, rules, &asked, on_failure, &mut record);
        let mut decisions = decisions.await?.into_iter();
        let verdict = |(mode, class): (Option<DeviceMode>, DeviceClass)| {
            let decision = match mode {
                None => decisions.next().unwrap_or(Decision::Compatible),
                Some(mode) => Decision::Incompatible(format!(
                    "in mode {} when the campaign started; campaigns update only devices in mode rollout",
                    mode.as_str()
                )),
            };
            ClassVerdict {
                is_unchecked: mode.is_some(),
                ..class_verdict(class, decision)
            }
        };
        Ok(classes.into_iter().map(verdict).collect())
    }

    async fn plan(&mut self, fleet: &Fleet) -> Result<Plan> {
        let strategy = &self.campaign.spec.strategy;
        let input = PlanInput {
            context: context(self.campaign, self.at),
            firmware: self.firmware.facts(),
            census: fleet.census(),
            config: strategy.config.clone(),
        };
        let tenant = self.campaign.tenant;
        let planned = self.plugins.plan(tenant, strategy, input).await;
        self.record(strategy, planned)
    }

    /// The output of a call, which is recorded.
    fn record<T>(&mut self, plugin: &PluginUse, called: PluginCall<T>) -> Result<T> {
        self.journal.push(journal_entry(plugin, self.at, &called));
        let outcome = called.call.outcome;
        outcome.map_err(|failure| {
            temporary_error(plugin, &failure).unwrap_or_else(|| plan_failed(plugin, &failure))
        })
    }

    async fn resolve(&mut self, plan: &Plan, fleet: &Fleet) -> Result<Vec<NewWave>> {
        let mut answers = MembershipInput::default();
        for (index, wave) in plan.waves.iter().enumerate() {
            if let Members::Selector(text) = &wave.members {
                let selector =
                    parse(text, &DEVICE_FIELDS).map_err(|error| invalid_selector(&error))?;
                let tenant = self.campaign.tenant;
                let matching = self
                    .store
                    .matching(tenant, &selector, self.overdue.as_ref())
                    .await?;
                answers.selected.insert(index, matching);
            }
        }
        if plan
            .waves
            .iter()
            .any(|wave| wave.members == Members::Custom)
        {
            answers.assigned = self.assign(plan, fleet).await?;
        }
        let members = selection::resolve(plan, &fleet.candidates, &answers);
        let named = plan.waves.iter().zip(members);
        Ok(named
            .map(|(wave, members)| NewWave {
                name: wave.name.clone(),
                members,
            })
            .collect())
    }

    async fn assign(&mut self, plan: &Plan, fleet: &Fleet) -> Result<Vec<u32>> {
        let strategy = &self.campaign.spec.strategy;
        let (rows, rows_of_page) = (fleet.candidates.len(), self.plugins.assign_rows());
        let mut assigned = Vec::with_capacity(rows);
        let total = rows.div_ceil(rows_of_page) as u32;
        for (number, start) in (0..).zip((0..rows).step_by(rows_of_page)) {
            let end = (start + rows_of_page).min(rows);
            let input = AssignInput {
                context: context(self.campaign, self.at),
                config: strategy.config.clone(),
                waves: plan.waves.clone(),
                groups: fleet
                    .groups
                    .iter()
                    .map(|group| group.name.clone())
                    .collect(),
                classes: fleet.classes.clone(),
                page: PageOf { number, total },
                group: fleet.group[start..end].to_vec(),
                class: fleet.class[start..end].to_vec(),
                place: fleet.candidates[start..end]
                    .iter()
                    .map(|device| (device.order_key >> 32) as u32)
                    .collect(),
            };
            let tenant = self.campaign.tenant;
            let page = self.plugins.assign(tenant, strategy, plan, input).await;
            assigned.extend(self.record(strategy, page)?);
        }
        Ok(assigned)
    }
}

/// The mode of a device that the campaign excludes for it.
fn excluded_mode(device: &SelectedDevice) -> Option<DeviceMode> {
    (device.mode != DeviceMode::Rollout).then_some(device.mode)
}

fn invalid_selector(error: &ParseError) -> Error {
    Error::invalid("invalid_selector", "targets.filter", error.to_string())
}

fn plan_failed(plugin: &PluginUse, why: &dyn std::fmt::Display) -> Error {
    let kind = match plugin.kind {
        PluginKind::Strategy => "strategy",
        PluginKind::Compatibility | PluginKind::Health => "policy",
    };
    let name = &plugin.plugin;
    Error::conflict(
        "plan_failed",
        format!("the {kind} {name} could not plan: {why}"),
    )
}

/// Refuses more classes than policies can be asked about. They come from the attributes that plugins want, so the error
/// names the one with the most values.
fn check_class_count<P>(
    classes: &[(P, DeviceClass)],
    wanted: &BTreeMap<String, Vec<PluginName>>,
) -> Result<()> {
    if classes.len() <= MAX_CLASSES {
        return Ok(());
    }
    let values = |attribute: &str| {
        let all = classes.iter().flat_map(|(_, class)| &class.key.attributes);
        let values = all
            .filter(|(key, _)| key == attribute)
            .map(|(_, value)| value);
        values.collect::<HashSet<_>>().len()
    };
    let counted = wanted
        .iter()
        .map(|(attribute, plugins)| (values(attribute), attribute, plugins));
    let culprit = match counted.max_by_key(|(values, ..)| *values) {
        Some((values, attribute, plugins)) if values > 1 => {
            let plugins = plugins
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            format!("; the attribute `{attribute}`, wanted by {plugins}, has {values} values")
        }
        _ => String::new(),
    };
    let message = format!(
        "the devices are of {} classes, and a campaign may have {MAX_CLASSES}{culprit}",
        classes.len()
    );
    Err(Error::conflict("too_many_classes", message))
}

fn no_compatible_devices(selected: &[SelectedDevice], verdicts: &[ClassVerdict]) -> Error {
    let first = verdicts
        .iter()
        .find_map(|verdict| verdict.excluded.as_deref())
        .unwrap_or_default();
    let message = format!(
        "none of the {} selected devices is compatible; first reason: {first}",
        selected.len()
    );
    Error::conflict("no_compatible_devices", message)
}

#[cfg(test)]
mod tests {
    use tidegate_core::plugin::ClassKey;

    use super::*;

    /// This many classes, which differ in their serial number, and are of two sites.
    fn classes(count: usize) -> Vec<((), DeviceClass)> {
        let class = |n: usize| {
            let attributes = [("serial", n.to_string()), ("site", (n % 2).to_string())];
            let attributes = attributes.map(|(key, value)| (key.to_owned(), value));
            let key = ClassKey {
                attributes: attributes.into(),
                ..ClassKey::default()
            };
            ((), DeviceClass { key, devices: 1 })
        };
        (0..count).map(class).collect()
    }

    #[test]
    fn plugins_whose_attribute_makes_too_many_classes_are_named() {
        let plugin = |name: &str| name.parse::<PluginName>().expect("a name");
        let wanted = BTreeMap::from([
            (
                "serial".to_owned(),
                vec![plugin("acme/waves"), plugin("acme/fits")],
            ),
            ("site".to_owned(), vec![plugin("acme/calm")]),
        ]);
        check_class_count(&classes(MAX_CLASSES), &wanted).expect("as many as are allowed");
        let refused = check_class_count(&classes(MAX_CLASSES + 1), &wanted);
        let Err(Error::Conflict { code, message, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(code, "too_many_classes");
        assert_eq!(
            message,
            "the devices are of 100001 classes, and a campaign may have 100000; the attribute `serial`, wanted by \
             acme/waves, acme/fits, has 100001 values"
        );
    }
}
