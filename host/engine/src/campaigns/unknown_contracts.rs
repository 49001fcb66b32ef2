//! Campaigns that are pinned to plugins of a contract that this server does not speak, after an upgrade of the server.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::{Campaign, CampaignStatus, Hold, PluginUse, Transition},
    id::{CampaignId, TenantId},
    plugin::RevisionState,
};
use tokio::time::sleep;

use super::journal_entry::host_journal_entry;
use crate::{
    Actor, Ctx, Engine, Operator, Result, chain,
    ports::{CampaignChange, Repin},
};

/// Time between two attempts, while a built-in plugin is not installed yet.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Who holds the campaign.
const SERVER: &str = "the server";

/// Moves all campaigns to built-in plugins that this server can run, and holds those that are pinned to other plugins
/// that it cannot. Ends when no campaign is left, or none can be moved.
pub async fn leave_unknown_contracts_loop(engine: Arc<Engine>) {
    loop {
        match leave_unknown_contracts(&engine).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %chain(&error), "campaigns of unknown contracts not moved; retrying");
            }
        }
        sleep(RETRY_DELAY).await;
    }
}

/// The same once. False: a built-in plugin is not installed yet.
pub async fn leave_unknown_contracts(engine: &Engine) -> Result<bool> {
    let (store, contracts) = (engine.store(), engine.plugins().contracts());
    let mut is_done = true;
    for tenant in store.tenants().await? {
        for id in store
            .campaigns_of_other_contracts(tenant.id, contracts)
            .await?
        {
            is_done &= leave(engine, tenant.id, id).await?;
        }
    }
    Ok(is_done)
}

/// Moves or holds one campaign. False: a built-in plugin is not installed yet.
async fn leave(engine: &Engine, tenant: TenantId, id: CampaignId) -> Result<bool> {
    let ctx = engine.trusted_ctx::<Operator>(tenant, Actor::server());
    let store = engine.store();
    let Some(campaign) = store.campaign(tenant, id).await? else {
        return Ok(true);
    };
    let (mut spec, mut moved) = (campaign.spec.clone(), Vec::new());
    for used in spec.plugins_mut() {
        match replacement(engine, tenant, used).await? {
            Replacement::NotNeeded => {}
            Replacement::By(other) => {
                moved.push(other.plugin.to_string());
                *used = other;
            }
            Replacement::NotInstalled => return Ok(false),
            Replacement::None(reason) => {
                hold(engine, &ctx, campaign, reason).await?;
                return Ok(true);
            }
        }
    }
    let explain = format!(
        "moved to the built-in {} of this server: it cannot run plugins of the contract that the campaign began with",
        moved.join(", ")
    );
    let repin = Repin {
        spec,
        // A built-in plugin of a later server reads the state of an earlier one.
        discards_state: None,
        journal: host_journal_entry(ctx.now, "repinned", explain),
    };
    if store.repin_campaign(&ctx, &campaign, repin).await? {
        tracing::info!(%tenant, campaign = %id, "campaign moved to this server's built-in plugins");
    }
    Ok(true)
}

/// What a campaign runs instead of a plugin.
enum Replacement {
    /// This server can run it.
    NotNeeded,
    By(PluginUse),
    /// It is built in, and not installed yet.
    NotInstalled,
    /// There is none, with the reason.
    None(String),
}

async fn replacement(engine: &Engine, tenant: TenantId, used: &PluginUse) -> Result<Replacement> {
    let (store, plugins) = (engine.store(), engine.plugins());
    let name = &used.plugin;
    let pinned = store.revision(tenant, name, used.revision).await?;
    let Some(reason) = pinned.and_then(|it| plugins.unknown_contract(&it.stored)) else {
        return Ok(Replacement::NotNeeded);
    };
    let Some(built_in) = plugins.built_ins().digest(name) else {
        return Ok(Replacement::None(format!(
            "{reason} Create the campaign again with a revision that was built for it."
        )));
    };
    let installed = store.revision(tenant, name, built_in).await?;
    let Some(installed) = installed.filter(|it| it.state != RevisionState::Disabled) else {
        return Ok(Replacement::NotInstalled);
    };
    let errors = plugins
        .validate(tenant, name, built_in, &used.config)
        .await?;
    if let Some(error) = errors.first() {
        return Ok(Replacement::None(format!(
            "The built-in {name} of this server refuses the campaign's config: {} {}",
            error.path, error.message
        )));
    }
    Ok(Replacement::By(PluginUse {
        revision: built_in,
        version: installed.stored.description.version,
        ..used.clone()
    }))
}

/// Holds a campaign that runs; one that was held, paused or created is left as it is.
async fn hold(engine: &Engine, ctx: &Ctx, campaign: Campaign, reason: String) -> Result<()> {
    if campaign.status != CampaignStatus::InProgress {
        return Ok(());
    }
    let (tenant, id) = (campaign.tenant, campaign.id);
    let change = CampaignChange {
        status: Some(campaign.status.after(Transition::Hold)?),
        hold: Some(Hold {
            reason: reason.clone(),
            by: SERVER.to_owned(),
            since: ctx.now,
        }),
        explain: Some(vec![reason]),
        ..CampaignChange::default()
    };
    if engine
        .store()
        .change_campaign(ctx, &campaign, change)
        .await?
    {
        tracing::warn!(%tenant, campaign = %id, "campaign held: it is pinned to a plugin of an unknown contract");
    }
    Ok(())
}
