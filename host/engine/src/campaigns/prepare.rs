use std::collections::HashSet;

use tidegate_core::{
    Named as _,
    campaign::{Campaign, PluginUse},
    device_fields::DEVICE_FIELDS,
    firmware::Firmware,
    mode::DeviceMode,
    order,
    plugin::{AssignInput, Context, DeviceClass, Members, Plan, PlanInput},
    selection::{self, MembershipInput},
    selector::{ParseError, parse},
    time::Timestamp,
};

use super::{
    fleet::Fleet,
    journal_entry::{host_journal_entry, journal_entry},
};
use crate::{
    Caches, Error, PluginCalls, Result,
    compatibility::{
        CompatibilityCheck, DevicesByClass, Policies, class_attributes, classify,
        compatibility_policies,
    },
    overdue::overdue,
    ports::{
        CampaignStart, ClassVerdict, EntryKind, NewJournalEntry, NewWave, OverdueRule,
        SelectedDevice, Store,
    },
};

/// Maximum number of unknown devices that are named.
const MAX_MISSING_NAMED: usize = 5;

/// Maximum number of devices in one `assign` call.
const MAX_ASSIGN_ROWS: usize = 1_000_000;

/// Prepares a campaign's start: selects the devices, calls the policies, and plans the waves. Reads the database and
/// calls plugins; writes nothing.
pub(super) async fn prepare(
    store: &dyn Store,
    caches: &Caches,
    plugins: &PluginCalls,
    campaign: &Campaign,
    at: Timestamp,
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
        journal: Vec::new(),
    };
    let attributes = preparation.class_attributes().await?;
    let selected = preparation.select(&attributes).await?;
    let DevicesByClass { classes, class_of } = classify(&selected, excluded_mode);
    let verdicts = preparation.check_classes(classes).await;
    let compatible: Vec<usize> = (0..selected.len())
        .filter(|at| verdicts[class_of[*at] as usize].excluded.is_none())
        .collect();
    if compatible.is_empty() {
        return Err(no_compatible_devices(&selected, &verdicts));
    }
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
        classes: verdicts,
        selected: class_of_keys,
        journal: preparation.journal,
    })
}

pub(super) async fn campaign_firmware(store: &dyn Store, campaign: &Campaign) -> Result<Firmware> {
    let firmware = store
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

struct Preparation<'a> {
    store: &'a dyn Store,
    plugins: &'a PluginCalls,
    campaign: &'a Campaign,
    firmware: &'a Firmware,
    /// For selectors over states.
    overdue: Option<OverdueRule>,
    at: Timestamp,
    journal: Vec<NewJournalEntry>,
}

impl Preparation<'_> {
    async fn select(&mut self, attributes: &[String]) -> Result<Vec<SelectedDevice>> {
        let filter = self
            .campaign
            .spec
            .targets
            .filter
            .as_ref()
            .map(|filter| filter.parse(&DEVICE_FIELDS))
            .transpose()
            .map_err(|error| invalid_selector(&error))?;
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

    /// The attributes that the campaign's plugins need in class keys.
    async fn class_attributes(&self) -> Result<Vec<String>> {
        let spec = &self.campaign.spec;
        let mut revisions = Vec::new();
        for plugin in std::iter::once(&spec.strategy).chain(&spec.policies) {
            let revision = self
                .store
                .revision(self.campaign.tenant, &plugin.plugin, plugin.revision)
                .await?
                .ok_or_else(|| Error::not_found("plugin revision", plugin.revision))?;
            if !revision.state.may_be_named() {
                let message = format!(
                    "the revision {} of {} is disabled",
                    plugin.revision, plugin.plugin
                );
                return Err(Error::conflict("revision_disabled", message));
            }
            revisions.push(revision);
        }
        Ok(class_attributes(revisions))
    }

    /// A class is compatible if every compatibility policy says so. Classes of devices in another mode than `rollout`
    /// are excluded without a check; they follow the others.
    async fn check_classes(
        &mut self,
        classes: Vec<(Option<DeviceMode>, DeviceClass)>,
    ) -> Vec<ClassVerdict> {
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
        let reasons = check.reasons_of_all(&asked, |policy, call| {
            journal.push(journal_entry(policy, EntryKind::Check, at, call));
        });
        let mut reasons = reasons.await.into_iter();
        let verdict = |(mode, class): (Option<DeviceMode>, DeviceClass)| ClassVerdict {
            key: class.key,
            devices: class.devices,
            excluded: match mode {
                None => reasons.next().flatten(),
                Some(mode) => Some(format!(
                    "in mode {} when the campaign started; campaigns update only devices in mode rollout",
                    mode.as_str()
                )),
            },
        };
        classes.into_iter().map(verdict).collect()
    }

    async fn plan(&mut self, fleet: &Fleet) -> Result<Plan> {
        let strategy = &self.campaign.spec.strategy;
        let input = PlanInput {
            context: context(self.campaign, self.at),
            firmware: self.firmware.details.facts(),
            census: fleet.census(),
            config: strategy.config.clone(),
        };
        let tenant = self.campaign.tenant;
        let call = self.plugins.plan(tenant, strategy, input).await;
        self.journal
            .push(journal_entry(strategy, EntryKind::Plan, self.at, &call));
        call.outcome
            .map_err(|failure| plan_failed(strategy, &failure))
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
            let tenant = self.campaign.tenant;
            let call = self.plugins.assign(tenant, strategy, plan, input).await;
            self.journal
                .push(journal_entry(strategy, EntryKind::Assign, self.at, &call));
            let page = call
                .outcome
                .map_err(|failure| plan_failed(strategy, &failure))?;
            assigned.extend(page);
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
