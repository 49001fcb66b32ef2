//! Campaigns that are pinned to plugins of a contract that this server does not speak, after an upgrade of the server.

use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::{Campaign, CampaignSpec, CampaignStatus, Hold, PluginUse, Transition},
    id::{CampaignId, TenantId},
    plugin::RevisionState,
};
use tokio::time::sleep;

use super::journal_entry::host_journal_entry;
use crate::{
    Actor, Ctx, Engine, Operator, Result, chain,
    ports::{CampaignChange, Repin, Revision},
};

/// Time between two attempts.
const RETRY_DELAY: Duration = Duration::from_secs(5);
/// Maximum time for one campaign.
const MAX_SILENCE: Duration = Duration::from_mins(5);
/// What to do with a campaign that has started.
pub(super) const MOVE_IT: &str =
    "Move the campaign to a revision that was built for it, and resume it.";
/// Who holds the campaign.
const SERVER: &str = "the server";

/// Moves all campaigns to built-in plugins that this server can run, and holds those that are pinned to other plugins
/// that it cannot. Ends when every campaign was moved or held.
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

/// The same once. False: a campaign is left, because a built-in plugin is not installed yet, or because the campaign
/// changed meanwhile.
pub async fn leave_unknown_contracts(engine: &Engine) -> Result<bool> {
    let heartbeat = engine.health.register_job("unknown contracts", MAX_SILENCE);
    let (store, contracts) = (engine.store(), engine.plugins().contracts());
    let mut is_done = true;
    for tenant in store.tenants().await? {
        for id in store
            .campaigns_of_other_contracts(tenant.id, contracts)
            .await?
        {
            heartbeat.beat();
            is_done &= leave(engine, tenant.id, id).await?;
        }
    }
    Ok(is_done)
}

/// Moves a campaign as far as there are replacements, and holds it if one of its plugins has none. False: it is to be
/// tried again.
async fn leave(engine: &Engine, tenant: TenantId, id: CampaignId) -> Result<bool> {
    let ctx = engine.trusted_ctx::<Operator>(tenant, Actor::server());
    let Some(campaign) = engine.store().campaign(tenant, id).await? else {
        return Ok(true);
    };
    let (mut spec, mut moved) = (campaign.spec.clone(), Vec::new());
    let (mut are_installed, mut held_for) = (true, None);
    for used in spec.plugins_mut() {
        match replacement(engine, &campaign, used).await? {
            Replacement::NotNeeded => {}
            Replacement::By(other) => {
                moved.push(other.plugin.to_string());
                *used = other;
            }
            Replacement::NotInstalled => are_installed = false,
            Replacement::None(reason) => {
                held_for.get_or_insert(reason);
            }
        }
    }
    let is_moved = moved.is_empty() || repin(engine, &ctx, &campaign, spec, &moved).await?;
    let is_held = match held_for {
        Some(reason) => hold(engine, &ctx, id, &reason).await?,
        None => true,
    };
    Ok(are_installed && is_moved && is_held)
}

/// False: the campaign changed meanwhile.
async fn repin(
    engine: &Engine,
    ctx: &Ctx,
    campaign: &Campaign,
    spec: CampaignSpec,
    moved: &[String],
) -> Result<bool> {
    let explain = format!(
        "moved to the built-in {} of this server: it cannot run plugins of the contract that the campaign began with",
        moved.join(", ")
    );
    let repin = Repin {
        spec,
        // Each reads the state of the plugin whose place it takes.
        discards_state: None,
        journal: host_journal_entry(ctx.now, "repinned", explain),
    };
    let is_moved = engine.store().repin_campaign(ctx, campaign, repin).await?;
    if is_moved {
        let (tenant, id) = (campaign.tenant, campaign.id);
        tracing::info!(%tenant, campaign = %id, "campaign moved to this server's built-in plugins");
    }
    Ok(is_moved)
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

async fn replacement(
    engine: &Engine,
    campaign: &Campaign,
    used: &PluginUse,
) -> Result<Replacement> {
    let (store, plugins) = (engine.store(), engine.plugins());
    let (tenant, name) = (campaign.tenant, &used.plugin);
    let Some(pinned) = store.revision(tenant, name, used.revision).await? else {
        return Ok(Replacement::NotNeeded);
    };
    let Some(reason) = plugins.unknown_contract(&pinned.stored) else {
        return Ok(Replacement::NotNeeded);
    };
    let Some(built_in) = plugins.built_ins().digest(name) else {
        return Ok(Replacement::None(format!("{reason} {MOVE_IT}")));
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
    if campaign.started_at.is_some()
        && let Some(reason) = other_state(&pinned, &installed)
    {
        return Ok(Replacement::None(reason));
    }
    Ok(Replacement::By(PluginUse {
        revision: built_in,
        version: installed.stored.description.version,
        ..used.clone()
    }))
}

/// Why a built-in plugin cannot go on with the state of another revision, if so. An operator decides whether it begins with
/// an empty one.
fn other_state(pinned: &Revision, built_in: &Revision) -> Option<String> {
    let schema = |revision: &Revision| revision.stored.description.state_schema;
    let (before, after) = (schema(pinned), schema(built_in));
    let stored = &built_in.stored;
    let (name, digest) = (&stored.description.name, stored.digest);
    (before != after).then(|| {
        format!(
            "The built-in {name} of this server reads the schema {after} of its state, and the campaign's has the schema \
             {before}. Move the campaign to the revision {digest} with an empty state, `discard_state`, and resume it."
        )
    })
}

/// Holds a campaign that runs. One that does not is left as it is: it is not started or resumed with such a plugin. False:
/// the campaign changed meanwhile.
async fn hold(engine: &Engine, ctx: &Ctx, id: CampaignId, reason: &str) -> Result<bool> {
    let tenant = ctx.tenant;
    let campaign = engine.store().campaign(tenant, id).await?;
    let Some(campaign) = campaign.filter(|it| it.status == CampaignStatus::InProgress) else {
        return Ok(true);
    };
    let change = CampaignChange {
        status: Some(campaign.status.after(Transition::Hold)?),
        hold: Some(Hold {
            reason: reason.to_owned(),
            by: SERVER.to_owned(),
            since: ctx.now,
        }),
        explain: Some(vec![reason.to_owned()]),
        ..CampaignChange::default()
    };
    let store = engine.store();
    let is_held = store.change_campaign(ctx, &campaign, change).await?;
    if is_held {
        tracing::warn!(%tenant, campaign = %id, "campaign held: it is pinned to a plugin of an unknown contract");
    }
    Ok(is_held)
}
