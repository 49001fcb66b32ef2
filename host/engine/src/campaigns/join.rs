//! Plans that are dynamic: devices that match the campaign's targets after its start join its last wave.
//!
//! No device request waits for this. While a tenant has such a campaign, changed devices are noted, and a loop checks them in
//! batches: it selects those that match now, asks the policies about classes that they have not checked, and adds the
//! devices in one transaction. The strategy sees the larger wave at its next decision.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use tidegate_core::{
    campaign::{Campaign, CampaignStatus, PluginUse},
    id::{DeviceKey, TenantId},
    mode::DeviceMode,
    order,
    plugin::{Compatibility, DeviceClass},
};
use tokio::time::sleep;

use super::{
    commands::MAX_ATTEMPTS,
    journal_entry::{host_journal_entry, journal_entry},
    journal_size::full_journal,
    prepare::{
        MAX_CLASSES, campaign_firmware, class_verdict, context, intermediate_rules, target_filter,
    },
    reconcile::MAX_TICK_DURATION,
};
use crate::{
    Engine, Error, Result, chain,
    compatibility::{CompatibilityCheck, OnFailure, Policies, classify, compatibility_policies},
    independent::done,
    overdue::overdue,
    plugin_calls::PluginCall,
    ports::{
        ClassVerdict, DynamicCampaign, KnownClass, KnownClasses, LateDevice, LateDevices,
        NewJournalEntry, Outsider, RunRef, SelectedDevice,
    },
};

/// Devices that are checked at a time.
const BATCH_SIZE: u32 = 1000;
/// Maximum number of batches of changed devices of a tenant in one iteration.
const MAX_BATCHES: usize = 20;
/// Maximum number of tenants whose devices are checked concurrently.
const MAX_CONCURRENT_TENANTS: usize = 32;
/// Delay after a check that failed.
const RETRY_DELAY: Duration = Duration::from_secs(10);

/// The loop that adds changed devices to campaigns whose plan is dynamic. Runs until it is dropped.
pub async fn join_changed_devices_loop(engine: Arc<Engine>) {
    let heartbeat = engine
        .health
        .register_loop("joining devices", MAX_TICK_DURATION);
    loop {
        let iteration = async {
            if let Err(error) = join_changed_devices(&engine).await {
                tracing::warn!(error = %chain(&error), "cannot check which devices join campaigns; retrying");
            }
        };
        heartbeat.run(iteration).await;
        sleep(engine.settings.tick_period).await;
    }
}

/// One iteration of the loop; tests call it directly. A tenant with slow policies delays no other.
pub async fn join_changed_devices(engine: &Engine) -> Result<()> {
    // A campaign would be woken at a time that other servers do not share.
    if !engine.clock.is_synchronized() {
        return Ok(());
    }
    let mut by_tenant: Vec<Vec<DynamicCampaign>> = Vec::new();
    for campaign in engine.store().dynamic_campaigns().await? {
        match by_tenant.last_mut() {
            Some(of_tenant) if of_tenant[0].run.tenant == campaign.run.tenant => {
                of_tenant.push(campaign);
            }
            _ => by_tenant.push(vec![campaign]),
        }
    }
    let tenants = by_tenant.iter().map(|campaigns| async {
        let tenant = campaigns[0].run.tenant;
        let joined = join_campaigns(engine, tenant, campaigns).await;
        done("devices that join campaigns", &tenant, joined)
    });
    let tenants: Vec<_> = tenants.collect();
    let results = stream::iter(tenants).buffer_unordered(MAX_CONCURRENT_TENANTS);
    let results: Vec<_> = results.collect().await;
    for result in results {
        result?;
    }
    while engine.store().forget_needless_changes(BATCH_SIZE).await? > 0 {}
    Ok(())
}

/// Checks changed devices of a tenant for its campaigns.
async fn join_campaigns(
    engine: &Engine,
    tenant: TenantId,
    campaigns: &[DynamicCampaign],
) -> Result<()> {
    let store = engine.store();
    for campaign in campaigns {
        if campaign.scan_at.is_some_and(|at| at <= engine.now()) {
            let is_done = scan(engine, campaign.run).await?;
            let again = (!is_done).then(|| engine.now().plus(RETRY_DELAY));
            store.set_join_scan(campaign.run, again).await?;
        }
    }
    for _ in 0..MAX_BATCHES {
        let changed = store.changed_devices(tenant, engine.now(), BATCH_SIZE);
        let changed = changed.await?;
        if changed.is_empty() {
            return Ok(());
        }
        let devices = changed.iter().map(|changed| changed.device).collect();
        let mut is_done = true;
        // Read after the notes, so that no campaign for which they were made is missing.
        let campaigns = store.dynamic_campaigns().await?.into_iter();
        for campaign in campaigns.filter(|campaign| campaign.run.tenant == tenant) {
            is_done &= join(engine, campaign.run, &devices).await?;
        }
        if is_done {
            store.forget_changes(tenant, &changed).await?;
        } else {
            let until = engine.now().plus(RETRY_DELAY);
            store.postpone_changes(tenant, &changed, until).await?;
        }
    }
    Ok(())
}

/// Checks all targeted devices of a campaign. False: some are to be checked again.
async fn scan(engine: &Engine, run: RunRef) -> Result<bool> {
    let store = engine.store();
    let Some(campaign) = store.campaign(run.tenant, run.campaign).await? else {
        return Ok(true);
    };
    let filter = target_filter(&campaign)?;
    let overdue = overdue(store, engine.caches(), run.tenant, engine.now()).await?;
    let mut after = DeviceKey(i64::MIN);
    loop {
        let (targets, page) = (&campaign.spec.targets, (after, BATCH_SIZE));
        let page =
            store.targeted_page(run.tenant, targets, filter.as_ref(), overdue.as_ref(), page);
        let page: BTreeSet<DeviceKey> = page.await?.into_iter().collect();
        let Some(last) = page.last() else {
            return Ok(true);
        };
        after = *last;
        if !join(engine, run, &page).await? {
            return Ok(false);
        }
    }
}

/// Adds those of the devices to the campaign that match its targets now. False: they are to be checked again.
async fn join(engine: &Engine, run: RunRef, devices: &BTreeSet<DeviceKey>) -> Result<bool> {
    let store = engine.store();
    for _ in 0..MAX_ATTEMPTS {
        let outsiders = store.outsiders(run, devices).await?;
        let campaign = store.campaign(run.tenant, run.campaign).await?;
        let joinable = |campaign: &Campaign| CampaignStatus::JOINABLE.contains(&campaign.status);
        let (false, Some(campaign)) = (outsiders.is_empty(), campaign.filter(joinable)) else {
            return Ok(true);
        };
        let (tenant, id) = (run.tenant, campaign.id);
        let late = match late_devices(engine, &campaign, outsiders).await {
            Ok(None) => return Ok(true),
            Ok(Some(late)) => late,
            Err(error) => {
                tracing::warn!(error = %chain(&error), %tenant, campaign = %id, "cannot add devices to a campaign; retrying");
                return Ok(false);
            }
        };
        if store.join_devices(run, late).await? {
            engine.signals.wake_campaign(run);
            return Ok(true);
        }
    }
    Ok(false)
}

/// The devices to be added to a campaign; `None`: there are none.
async fn late_devices(
    engine: &Engine,
    campaign: &Campaign,
    outsiders: Vec<Outsider>,
) -> Result<Option<LateDevices>> {
    let (store, tenant, now) = (engine.store(), campaign.tenant, engine.now());
    let selected = select(engine, campaign, &outsiders).await?;
    let classes = classify(&selected, |_| ()).classes;
    let classes: Vec<_> = classes.into_iter().map(|((), class)| class).collect();
    if classes.is_empty() {
        return Ok(None);
    }
    let run = RunRef {
        tenant,
        campaign: campaign.id,
    };
    let keys: Vec<_> = classes.iter().map(|class| class.key.clone()).collect();
    let mut known = store.known_classes(run, &keys).await?;
    let is_new = |class: &DeviceClass| !known.by_key.contains_key(&class.key);
    let new: Vec<_> = classes.into_iter().filter(is_new).collect();
    let mut journal = Vec::new();
    let verdicts = check_classes(engine, campaign, &known, new, &mut journal).await?;
    for (index, verdict) in (known.count..).zip(&verdicts) {
        let excluded = verdict.excluded.clone();
        let class = KnownClass { index, excluded };
        known.by_key.insert(verdict.key.clone(), class);
    }
    let devices = changes(&selected, &outsiders, &known);
    if devices.is_empty() {
        return Ok(None);
    }
    let wave = store.waves(tenant, campaign.id).await?.pop();
    let wave = wave.map(|wave| wave.report.name).unwrap_or_default();
    journal.push(host_journal_entry(
        now,
        "joined",
        summary(&devices, &known, &wave),
    ));
    Ok(Some(LateDevices {
        at: now,
        classes: verdicts,
        devices,
        journal,
    }))
}

/// Those of the outsiders that the campaign would select at a start now, in its stable order.
async fn select(
    engine: &Engine,
    campaign: &Campaign,
    outsiders: &[Outsider],
) -> Result<Vec<SelectedDevice>> {
    let (store, tenant) = (engine.store(), campaign.tenant);
    let plugins = campaign.spec.plugins().cloned().collect();
    let attributes = Policies::load(engine.plugins(), tenant, plugins)
        .await?
        .attributes;
    let filter = target_filter(campaign)?;
    let overdue = overdue(store, engine.caches(), tenant, engine.now()).await?;
    let keys: Vec<_> = outsiders.iter().map(|outsider| outsider.device).collect();
    let mut selected = store
        .select_among(
            tenant,
            &campaign.spec.targets,
            filter.as_ref(),
            overdue.as_ref(),
            &attributes,
            &keys,
        )
        .await?;
    selected.retain(|device| device.mode == DeviceMode::Rollout);
    let seed = order::seed(campaign.id);
    selected.sort_by_cached_key(|device| {
        let order_key = order::order_key(seed, &device.device_id);
        (order_key, device.device_id.clone())
    });
    Ok(selected)
}

/// Asks the campaign's policies about new classes.
async fn check_classes(
    engine: &Engine,
    campaign: &Campaign,
    known: &KnownClasses,
    new: Vec<DeviceClass>,
    journal: &mut Vec<NewJournalEntry>,
) -> Result<Vec<ClassVerdict>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    if known.count as usize + new.len() > MAX_CLASSES {
        let message = format!("a campaign may have devices of at most {MAX_CLASSES} classes");
        return Err(Error::conflict("too_many_classes", message));
    }
    if let Some(reason) = full_journal(engine.settings.journal, campaign) {
        return Err(Error::conflict("journal_full", reason));
    }
    let now = engine.now();
    let firmware = campaign_firmware(engine.store(), campaign).await?;
    let policies = Policies {
        uses: compatibility_policies(campaign),
        ..Policies::default()
    };
    let check = CompatibilityCheck {
        plugins: engine.plugins(),
        tenant: campaign.tenant,
        policies: &policies,
        firmware: &firmware,
        context: context(campaign, now),
    };
    let mut record = |policy: &PluginUse, call: &PluginCall<Vec<Compatibility>>| {
        journal.push(journal_entry(policy, now, call));
    };
    let (store, rules) = (engine.store(), intermediate_rules(campaign, &firmware));
    let decisions = check.decide(store, rules, &new, OnFailure::Exclude, &mut record);
    let decisions = decisions.await?;
    let verdicts = new.into_iter().zip(decisions);
    Ok(verdicts
        .map(|(class, decision)| class_verdict(class, decision))
        .collect())
}

/// The devices whose membership changes: not those that were excluded as the same class before.
fn changes(
    selected: &[SelectedDevice],
    outsiders: &[Outsider],
    known: &KnownClasses,
) -> Vec<LateDevice> {
    let changes = selected.iter().filter_map(|device| {
        let found = outsiders.binary_search_by_key(&device.key, |outsider| outsider.device);
        let outsider = *outsiders.get(found.ok()?)?;
        let class = known.by_key.get(&*device.class)?;
        (outsider.excluded_as != Some(class.index)).then(|| LateDevice {
            outsider,
            class: (*device.class).clone(),
        })
    });
    changes.collect()
}

/// How many devices joined, and how many were excluded and why, for the journal.
fn summary(devices: &[LateDevice], known: &KnownClasses, wave: &str) -> String {
    let reasons = devices
        .iter()
        .filter_map(|device| known.by_key[&device.class].excluded.as_deref());
    let reasons: Vec<_> = reasons.collect();
    let joined = devices.len() - reasons.len();
    let joined = format!("{joined} devices joined the last wave ({wave}) after the start");
    match reasons.first() {
        Some(first) => format!(
            "{joined}; {} were excluded, first reason: {first}",
            reasons.len()
        ),
        None => joined,
    }
}
