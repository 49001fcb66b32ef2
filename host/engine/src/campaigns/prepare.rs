use std::collections::HashSet;

use tidegate_core::{
    campaign::{Campaign, PluginUse},
    checker::{check_assignment, check_plan},
    firmware::Firmware,
    order,
    plugin::{
        AssignInput, CheckInput, Compatibility, Context, DeviceClass, Members, Plan, PlanInput,
        PluginKind,
    },
    selection::{self, MembershipInput},
    selector::{DEVICE_FIELDS, Selector, parse},
    time::Timestamp,
};

use super::{
    calls::{check_output, host_journal_entry, journal_entry},
    fleet::{Fleet, classify},
};
use crate::{
    Engine, Error, Result,
    ports::{CampaignStart, ClassVerdict, EntryKind, NewJournalEntry, NewWave, SelectedDevice},
};

/// Maximum number of unknown devices that are named.
const MAX_MISSING_NAMED: usize = 5;

/// Maximum number of devices in one `assign` call.
const MAX_ASSIGN_ROWS: usize = 1_000_000;

/// Prepares a campaign's start: selects the devices, calls the policies, and plans the waves. Reads the database and
/// calls plugins; writes nothing.
pub(super) async fn prepare(engine: &Engine, campaign: &Campaign) -> Result<CampaignStart> {
    let at = engine.now();
    let firmware = campaign_firmware(engine, campaign).await?;
    let mut planning = Planning {
        engine,
        campaign,
        firmware: &firmware,
        at,
        journal: Vec::new(),
    };
    let selected = planning.select().await?;
    let classes = classify(&selected);
    let class_of = classes.class_of;
    let mut verdicts = planning.check_classes(classes.checked).await?;
    verdicts.extend(classes.excluded_by_mode);
    let compatible: Vec<usize> = (0..selected.len())
        .filter(|at| verdicts[class_of[*at] as usize].excluded.is_none())
        .collect();
    if compatible.is_empty() {
        return Err(no_compatible_devices(&selected, &verdicts));
    }
    let fleet = Fleet::new(campaign, &selected, &class_of, &verdicts, compatible);
    let plan = planning.plan(&fleet).await?;
    let waves = planning.resolve(&plan, &fleet).await?;
    Ok(CampaignStart {
        at,
        waves,
        parallel: plan.parallel,
        classes: verdicts,
        selected: selected
            .iter()
            .map(|device| device.key)
            .zip(class_of)
            .collect(),
        journal: planning.journal,
    })
}

pub(super) async fn campaign_firmware(engine: &Engine, campaign: &Campaign) -> Result<Firmware> {
    let firmware = engine
        .store()
        .firmware(campaign.tenant, campaign.spec.firmware)
        .await?;
    firmware.ok_or_else(|| Error::not_found("firmware", campaign.spec.firmware))
}

/// The part of the input that all plugin calls of a campaign share.
pub(super) fn context(campaign: &Campaign, now: Timestamp) -> Context {
    Context {
        now,
        seed: order::seed(campaign.id),
        started_at: campaign.started_at,
        max_in_flight: campaign.spec.max_concurrent_updates,
        failure_ceiling: u16::from(campaign.spec.failure_threshold_percent) * 100,
        update_timeout: campaign.spec.options.timeouts.update,
        auto_rollback: campaign.spec.auto_rollback,
        facts: Vec::new(),
    }
}

struct Planning<'a> {
    engine: &'a Engine,
    campaign: &'a Campaign,
    firmware: &'a Firmware,
    at: Timestamp,
    journal: Vec<NewJournalEntry>,
}

impl Planning<'_> {
    async fn select(&mut self) -> Result<Vec<SelectedDevice>> {
        let filter = self
            .campaign
            .spec
            .targets
            .filter
            .as_deref()
            .map(parse_selector)
            .transpose()?;
        let attributes = self.class_attributes().await?;
        let (store, spec) = (self.engine.store(), &self.campaign.spec);
        let selected = store
            .select(
                self.campaign.tenant,
                &spec.targets,
                filter.as_ref(),
                &attributes,
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

    /// The attributes that the campaign's plugins need in class keys.
    async fn class_attributes(&self) -> Result<Vec<String>> {
        let spec = &self.campaign.spec;
        let mut attributes = Vec::new();
        for plugin in std::iter::once(&spec.strategy).chain(&spec.policies) {
            let revision = self
                .engine
                .store()
                .revision(self.campaign.tenant, &plugin.plugin, Some(plugin.revision))
                .await?
                .ok_or_else(|| Error::not_found("plugin revision", plugin.revision))?;
            if !revision.enabled {
                let message = format!(
                    "the revision {} of {} is disabled",
                    plugin.revision, plugin.plugin
                );
                return Err(Error::conflict("revision_disabled", message));
            }
            attributes.extend(revision.stored.description.attributes);
        }
        attributes.sort_unstable();
        attributes.dedup();
        Ok(attributes)
    }

    /// A class is compatible if every compatibility policy says so. A policy that fails excludes all classes.
    async fn check_classes(&mut self, classes: Vec<DeviceClass>) -> Result<Vec<ClassVerdict>> {
        if classes.is_empty() {
            return Ok(Vec::new());
        }
        let mut verdicts: Vec<ClassVerdict> = classes
            .iter()
            .map(|class| ClassVerdict {
                key: class.key.clone(),
                devices: class.devices,
                excluded: None,
            })
            .collect();
        for policy in self
            .campaign
            .spec
            .policies
            .iter()
            .filter(|policy| policy.kind == PluginKind::Compatibility)
        {
            let input = CheckInput {
                context: context(self.campaign, self.at),
                firmware: self.firmware.details.facts(),
                classes: classes.clone(),
                config: policy.config.clone(),
            };
            let call = self.engine.sandbox().check(policy.revision, input).await;
            self.journal
                .push(self.journal_entry(policy, EntryKind::Check, &call));
            let reasons: Vec<Option<String>> = match &call.outcome {
                Ok(answers) => answers.iter().map(exclusion).collect(),
                Err(failure) => vec![Some(format!("the policy failed: {failure}")); classes.len()],
            };
            for (verdict, reason) in verdicts.iter_mut().zip(reasons) {
                if let (None, Some(reason)) = (&verdict.excluded, reason) {
                    verdict.excluded = Some(format!("{}: {reason}", policy.plugin));
                }
            }
        }
        Ok(verdicts)
    }

    async fn plan(&mut self, fleet: &Fleet) -> Result<Plan> {
        let strategy = &self.campaign.spec.strategy;
        let input = PlanInput {
            context: context(self.campaign, self.at),
            firmware: self.firmware.details.facts(),
            census: fleet.census(),
            config: strategy.config.clone(),
        };
        let call = self.engine.sandbox().plan(strategy.revision, input).await;
        let call = check_output(call, |plan| check_plan(&plan).map(|()| plan));
        self.journal
            .push(self.journal_entry(strategy, EntryKind::Plan, &call));
        call.outcome
            .map_err(|failure| plan_failed(strategy, &failure))
    }

    async fn resolve(&mut self, plan: &Plan, fleet: &Fleet) -> Result<Vec<NewWave>> {
        let mut answers = MembershipInput::default();
        for (index, wave) in plan.waves.iter().enumerate() {
            if let Members::Selector(text) = &wave.members {
                let matching = self
                    .engine
                    .store()
                    .matching(self.campaign.tenant, &parse_selector(text)?)
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

    async fn assign(&mut self, plan: &Plan, fleet: &Fleet) -> Result<Vec<u16>> {
        let strategy = &self.campaign.spec.strategy;
        let mut assigned = Vec::with_capacity(fleet.candidates.len());
        for start in (0..fleet.candidates.len()).step_by(MAX_ASSIGN_ROWS) {
            let end = (start + MAX_ASSIGN_ROWS).min(fleet.candidates.len());
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
                group: fleet.group[start..end].to_vec(),
                class: fleet.class[start..end].to_vec(),
                place: fleet.candidates[start..end]
                    .iter()
                    .map(|device| (device.order_key >> 32) as u32)
                    .collect(),
            };
            let call = self.engine.sandbox().assign(strategy.revision, input).await;
            let call = check_output(call, |page| check_assignment(plan, &page).map(|()| page));
            self.journal
                .push(self.journal_entry(strategy, EntryKind::Assign, &call));
            let page = call
                .outcome
                .map_err(|failure| plan_failed(strategy, &failure))?;
            assigned.extend(page);
        }
        Ok(assigned)
    }

    fn journal_entry<T>(
        &self,
        plugin: &PluginUse,
        kind: EntryKind,
        call: &crate::ports::Call<T>,
    ) -> NewJournalEntry {
        journal_entry(
            self.engine,
            self.campaign.tenant,
            plugin,
            kind,
            self.at,
            call,
        )
    }
}

/// Why a class is excluded, if it is.
pub(crate) fn exclusion(verdict: &Compatibility) -> Option<String> {
    match verdict {
        Compatibility::Compatible => None,
        Compatibility::Incompatible(reason) => Some(reason.clone()),
        Compatibility::Needs { version, reason } => {
            Some(format!("needs {version} first: {reason}"))
        }
    }
}

fn parse_selector(text: &str) -> Result<Selector> {
    parse(text, &DEVICE_FIELDS)
        .map_err(|error| Error::invalid("invalid_selector", "targets.filter", error.to_string()))
}

fn plan_failed(strategy: &PluginUse, why: &dyn std::fmt::Display) -> Error {
    Error::conflict(
        "plan_failed",
        format!("the strategy {} could not plan: {why}", strategy.plugin),
    )
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
