//! Checks devices again whose class is another one than policies accepted, before they are offered an update.

use std::iter;

use futures::{StreamExt as _, stream};
use tidegate_core::{
    campaign::{Campaign, CampaignStatus, PluginUse, Targets},
    firmware::Firmware,
    id::TenantId,
    plugin::{ClassKey, Compatibility, Context, PluginKind},
    time::Timestamp,
    update::UpdatePolicies,
};

use super::{journal_entry::journal_entry, journal_size::full_journal, prepare};
use crate::{
    Engine, Result, chain,
    compatibility::{
        CheckFailure, CompatibilityCheck, DEFAULT_POLICIES, Decision, HARDWARE, IntermediateRules,
        LATEST, OnFailure, Policies, classify, compatibility_policies, context_without_campaign,
    },
    independent::done,
    plugin_calls::PluginCall,
    ports::{AffectedDevice, CheckOutcome, CheckedUpdates, UpdateCheck, UpdateToCheck},
};

/// Maximum number of updates that are checked at a time.
const BATCH_SIZE: u32 = 500;
/// Maximum number of tenants whose updates are checked concurrently.
const MAX_CONCURRENT_TENANTS: usize = 32;

/// Checks the devices of due updates that are of another class than policies accepted. Updates of accepted devices are
/// offered next; those of rejected devices end. An update that cannot be checked stops no other, and a tenant with slow
/// policies delays no other. No check begins once `may_begin` is false; what is left stays due.
pub async fn recheck_updates(
    engine: &Engine,
    may_begin: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<AffectedDevice>> {
    let due = engine.store().updates_to_check(engine.now(), BATCH_SIZE);
    let mut by_tenant: Vec<Vec<UpdateToCheck>> = Vec::new();
    for update in due.await? {
        let is_same = |of_tenant: &&mut Vec<UpdateToCheck>| of_tenant[0].tenant == update.tenant;
        match by_tenant.iter_mut().find(is_same) {
            Some(of_tenant) => of_tenant.push(update),
            None => by_tenant.push(vec![update]),
        }
    }
    let checks = by_tenant.into_iter();
    let checks: Vec<_> = checks
        .map(|updates| recheck_tenant(engine, updates, may_begin))
        .collect();
    let checked = stream::iter(checks).buffer_unordered(MAX_CONCURRENT_TENANTS);
    let checked: Vec<_> = checked.collect().await;
    let checked: Vec<_> = checked.into_iter().collect::<Result<_>>()?;
    Ok(checked.concat())
}

/// Checks updates of one tenant.
async fn recheck_tenant(
    engine: &Engine,
    mut remaining: Vec<UpdateToCheck>,
    may_begin: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<AffectedDevice>> {
    let mut affected = Vec::new();
    while let Some(first) = remaining.first().cloned()
        && may_begin()
    {
        let (group, others): (Vec<_>, Vec<_>) = remaining
            .into_iter()
            .partition(|update| is_alike(update, &first));
        remaining = others;
        let item = (first.tenant, first.firmware);
        let checked = check_and_record(engine, &group).await;
        match done("check of updates", &item, checked)? {
            Some(checked) => affected.extend(checked),
            None if group.len() > 1 => {
                affected.extend(recheck_each(engine, &group, may_begin).await?);
            }
            None => postpone(engine, &first).await?,
        }
    }
    Ok(affected)
}

/// Checks each update on its own.
async fn recheck_each(
    engine: &Engine,
    group: &[UpdateToCheck],
    may_begin: &(dyn Fn() -> bool + Sync),
) -> Result<Vec<AffectedDevice>> {
    let mut affected = Vec::new();
    for update in group.iter().take_while(|_| may_begin()) {
        let checked = check_and_record(engine, std::slice::from_ref(update)).await;
        match done("check of an update", &update.update, checked)? {
            Some(checked) => affected.extend(checked),
            None => postpone(engine, update).await?,
        }
    }
    Ok(affected)
}

/// Repeats a check that failed only after a delay, so that the loop does not call policies for it in every iteration.
async fn postpone(engine: &Engine, update: &UpdateToCheck) -> Result<()> {
    let store = engine.store();
    let postponed = store.postpone_check(update.tenant, update.update, engine.now());
    let postponed = postponed.await.map_err(Into::into);
    done("postponement of a check", &update.update, postponed)?;
    Ok(())
}

async fn check_and_record(engine: &Engine, group: &[UpdateToCheck]) -> Result<Vec<AffectedDevice>> {
    let Some(first) = group.first() else {
        return Ok(Vec::new());
    };
    let Some(checked) = check_group(engine, first, group).await? else {
        for update in group {
            postpone(engine, update).await?;
        }
        return Ok(Vec::new());
    };
    Ok(engine.store().record_checks(&checked, engine.now()).await?)
}

/// Whether the same policies decide on the same firmware.
fn is_alike(one: &UpdateToCheck, other: &UpdateToCheck) -> bool {
    let key = |update: &UpdateToCheck| {
        let installs = update.installs;
        (update.tenant, update.firmware, update.campaign, installs)
    };
    key(one) == key(other) && one.basis.policies == other.basis.policies
}

/// Asks the policies about updates that are alike, one of which is `first`. `None`: the journal of their campaign is full.
async fn check_group(
    engine: &Engine,
    first: &UpdateToCheck,
    group: &[UpdateToCheck],
) -> Result<Option<CheckedUpdates>> {
    let (store, now) = (engine.store(), engine.now());
    let tenant = first.tenant;
    let campaign = match first.campaign {
        Some(id) => store.campaign(tenant, id).await?,
        None => None,
    };
    // A rollback does not wait for its journal.
    if let Some(campaign) = &campaign
        && !matches!(
            campaign.status,
            CampaignStatus::RollingBack | CampaignStatus::RolledBack
        )
        && full_journal(engine.settings.journal, campaign).is_some()
    {
        let (campaign, updates) = (campaign.id, group.len());
        tracing::warn!(%tenant, %campaign, updates, "cannot check devices again: the journal is full; retrying");
        return Ok(None);
    }
    let mut checked = CheckedUpdates {
        tenant,
        campaign: campaign.as_ref().map(|campaign| campaign.id),
        attributes: Vec::new(),
        checks: Vec::new(),
        journal: Vec::new(),
    };
    let Some(firmware) = store.firmware(tenant, first.firmware).await? else {
        return Ok(Some(checked));
    };
    let policies = policies(engine, tenant, &first.basis.policies, campaign.as_ref()).await?;
    checked.attributes.clone_from(&policies.attributes);
    let check = CompatibilityCheck {
        plugins: engine.plugins(),
        tenant,
        policies: &policies,
        firmware: &firmware,
        context: context(first, campaign.as_ref(), now),
    };
    let targets = Targets {
        devices: group
            .iter()
            .map(|update| update.device_id.clone())
            .collect(),
        ..Targets::default()
    };
    let devices = store
        .select(tenant, &targets, None, None, &policies.attributes)
        .await?;
    let classified = classify(&devices, |_| ());
    let classes: Vec<_> = classified
        .classes
        .into_iter()
        .map(|((), class)| class)
        .collect();
    let mut record = |policy: &PluginUse, call: &PluginCall<Vec<Compatibility>>| {
        checked.journal.push(journal_entry(policy, now, call));
    };
    let rules = rules(first, campaign.as_ref(), &firmware);
    let on_failure = OnFailure::EndCheck;
    let decided = check.decide(store, rules, &classes, on_failure, &mut record);
    let decisions = match decided.await {
        Ok(decisions) => Some(decisions),
        Err(CheckFailure::Policy(failure)) => {
            let (policy, failure) = *failure;
            let (firmware, updates, policy) = (first.firmware, group.len(), policy.plugin);
            tracing::warn!(error = %chain(&failure), %tenant, %firmware, %policy, updates, "cannot check devices again; retrying");
            None
        }
        Err(CheckFailure::Other(error)) => return Err(error),
    };
    for update in group {
        let Some(at) = devices
            .iter()
            .position(|device| device.key == update.device)
        else {
            continue;
        };
        let class_of = classified.class_of[at] as usize;
        let decision = decisions.as_ref().map(|decisions| &decisions[class_of]);
        let outcome = match decision {
            None => CheckOutcome::Failed,
            Some(Decision::Compatible) => CheckOutcome::Accepted,
            Some(Decision::After(intermediate)) => CheckOutcome::Needs(intermediate.clone()),
            Some(Decision::Incompatible(reason)) => CheckOutcome::Rejected(reason.clone()),
        };
        checked.checks.push(UpdateCheck {
            update: update.update,
            device: update.device,
            class: ClassKey::clone(&devices[at].class),
            outcome,
        });
    }
    Ok(Some(checked))
}

fn context(update: &UpdateToCheck, campaign: Option<&Campaign>, now: Timestamp) -> Context {
    match campaign {
        Some(campaign) => prepare::context(campaign, now),
        None => context_without_campaign(now, update.update_timeout),
    }
}

/// Which firmware these devices may install before the firmware of the update.
fn rules(
    update: &UpdateToCheck,
    campaign: Option<&Campaign>,
    firmware: &Firmware,
) -> IntermediateRules {
    match campaign {
        Some(campaign) => prepare::intermediate_rules(campaign, firmware),
        None => IntermediateRules {
            installs: update.installs,
            allows_beta: firmware.details.is_beta,
        },
    }
}

/// The policies that decide on an update.
async fn policies(
    engine: &Engine,
    tenant: TenantId,
    policies: &UpdatePolicies,
    campaign: Option<&Campaign>,
) -> Result<Policies> {
    let (store, plugins) = (engine.store(), engine.plugins());
    match policies {
        UpdatePolicies::Forced => Ok(Policies::default()),
        UpdatePolicies::Campaign => {
            let uses = campaign.map(compatibility_policies).unwrap_or_default();
            Policies::load(plugins, tenant, uses).await
        }
        UpdatePolicies::Hardware => Policies::built_in(store, plugins, tenant, &[HARDWARE]).await,
        UpdatePolicies::Default => {
            Policies::built_in(store, plugins, tenant, &DEFAULT_POLICIES).await
        }
        UpdatePolicies::Latest => {
            let names: Vec<_> = iter::once(LATEST).chain(DEFAULT_POLICIES).collect();
            Policies::built_in(store, plugins, tenant, &names).await
        }
        // An empty list names no policy, so the default ones apply.
        UpdatePolicies::Chosen(chosen) if chosen.is_empty() => {
            Policies::built_in(store, plugins, tenant, &DEFAULT_POLICIES).await
        }
        UpdatePolicies::Chosen(chosen) => {
            let mut uses = Vec::with_capacity(chosen.len());
            for policy in chosen {
                let revision = store.revision(tenant, &policy.plugin, policy.revision);
                let found = revision.await?;
                let version = found.map(|found| found.stored.description.version);
                uses.push(PluginUse {
                    plugin: policy.plugin.clone(),
                    revision: policy.revision,
                    version: version.unwrap_or_default(),
                    kind: PluginKind::Compatibility,
                    config: policy.config.clone(),
                });
            }
            Policies::load(plugins, tenant, uses).await
        }
    }
}
