use std::collections::BTreeMap;

use tidegate_core::{
    campaign::{Campaign, CampaignSpec, CampaignStatus},
    id::{CampaignId, Digest},
    plugin::PluginName,
};

use super::{
    commands::{MAX_ATTEMPTS, changed_meanwhile, invalid_status},
    get,
    journal_entry::host_journal_entry,
    replay::NotCompared,
    replay_journal::{JournalReplay, replay_journal},
};
use crate::{
    Admin, Authorized, Ctx, Error, PluginCalls, Result, Signals,
    plugins::{self, PluginChoice},
    ports::{Repin, Revision, RunRef, Store},
    rules::Rules,
};

/// The most entries that are replayed by the move itself.
const MAX_ENTRIES: u32 = 500;

/// To which revision of one of its plugins a campaign is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevisionMove {
    /// The revision.
    pub revision: Digest,
    /// Journal entries up to this sequence number were replayed with it already.
    pub replayed_until: i64,
    /// Whether it may decide otherwise than the plugin has decided so far.
    pub accepts_differences: bool,
    /// Whether the plugin begins with an empty state.
    pub discards_state: bool,
}

/// A campaign after a move.
#[derive(Debug)]
pub struct MovedCampaign {
    /// The campaign.
    pub campaign: Campaign,
    /// What the replay showed. `None`: the campaign was at the revision already, so that nothing was replayed.
    pub replay: Option<ReplayCounts>,
}

/// Moves a running, paused or held campaign to another revision of one of its plugins. The rest of its journal is replayed
/// with that revision first. The plugin keeps its state if both revisions have the same schema of it.
pub async fn move_to_revision(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    plugins: &PluginCalls,
    signals: &Signals,
    id: CampaignId,
    request: RevisionMove,
) -> Result<MovedCampaign> {
    let mut campaign = get(ctx, store, id).await?;
    let to = plugins::revision_by_digest(store, ctx.tenant, request.revision).await?;
    let (mut replayed, mut counts) = (request.replayed_until, ReplayCounts::default());
    for _ in 0..MAX_ATTEMPTS {
        if !matches!(
            campaign.status,
            CampaignStatus::InProgress | CampaignStatus::Paused | CampaignStatus::Held
        ) {
            return Err(invalid_status("move", &campaign));
        }
        let Some(moved) = Move::of(ctx, store, plugins, &campaign, &to).await? else {
            return Ok(MovedCampaign {
                campaign,
                replay: None,
            });
        };
        moved.check_state_schema(&to, request)?;
        // After the first attempt these are the few that the campaign has written meanwhile.
        let part = (replayed, MAX_ENTRIES);
        let replay = replay_journal(ctx, store, plugins, id, part, Some(request.revision)).await?;
        check_replay(&replay, request)?;
        replayed = replay.last;
        counts.add(&replay);
        counts.removed_until = store.last_removed_entry(ctx.tenant, id).await?;
        let plugin = &to.stored.description.name;
        let repin = Repin {
            spec: moved.spec,
            discards_state: request.discards_state.then(|| plugin.clone()),
            journal: host_journal_entry(ctx.now, "repinned", explain(ctx, &to, request, &counts)),
        };
        if store.repin_campaign(ctx, &campaign, repin).await? {
            signals.wake_campaign(RunRef {
                tenant: ctx.tenant,
                campaign: id,
            });
            return Ok(MovedCampaign {
                campaign: get(ctx, store, id).await?,
                replay: Some(counts),
            });
        }
        campaign = get(ctx, store, id).await?;
    }
    Err(changed_meanwhile())
}

/// What a move changes.
struct Move {
    /// The revision that the campaign uses.
    before: Revision,
    /// The specification of the campaign with the other one.
    spec: CampaignSpec,
}

impl Move {
    /// `None`: the campaign is at the revision.
    async fn of(
        ctx: &Ctx,
        store: &dyn Store,
        plugins: &PluginCalls,
        campaign: &Campaign,
        to: &Revision,
    ) -> Result<Option<Self>> {
        let (name, digest) = (&to.stored.description.name, to.stored.digest);
        let (mut spec, mut rules) = (campaign.spec.clone(), Rules::default());
        let mut before = None;
        for (n, used) in spec.plugins_mut().enumerate() {
            if used.plugin != *name || used.revision == digest {
                continue;
            }
            before = Some(used.revision);
            let choice = PluginChoice {
                plugin: name.to_string(),
                revision: Some(digest),
                config: used.config.clone(),
            };
            let path = match n {
                0 => "strategy".to_owned(),
                n => format!("policies.{}", n - 1),
            };
            let resolved = choice.resolve(store, plugins, ctx.tenant, &path, &mut rules);
            if let Some(moved) = resolved.await? {
                *used = moved;
            }
        }
        rules.accept("the revision cannot take the place of the one that the campaign uses")?;
        let Some(before) = before else {
            let uses = campaign.spec.plugins().any(|used| used.plugin == *name);
            return if uses { Ok(None) } else { Err(not_used(name)) };
        };
        let before = store.revision(ctx.tenant, name, before).await?;
        let before = before.ok_or_else(|| Error::not_found("plugin revision", name))?;
        Ok(Some(Self { before, spec }))
    }

    /// A plugin whose revisions have different schemas of the state can only begin with an empty one.
    fn check_state_schema(&self, to: &Revision, request: RevisionMove) -> Result<()> {
        let schema = |revision: &Revision| revision.stored.description.state_schema;
        let (before, after) = (schema(&self.before), schema(to));
        if before != after && !request.discards_state {
            let message = format!(
                "the plugin's state has the schema {before}, and the revision reads {after}: it can only begin with an empty \
                 state, `discard_state`"
            );
            return Err(Error::conflict("other_state_schema", message));
        }
        Ok(())
    }
}

/// What a replay of a part of a journal showed, in numbers of entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Entries.
    pub entries: u64,
    /// Entries whose answer is the same.
    pub same: u64,
    /// Entries whose answer is another one.
    pub different: u64,
    /// Entries whose answers were compared, but not their fuel.
    pub fuel_not_compared: u64,
    /// Entries that were repeated under today's limits, because theirs are not recorded.
    pub limits_not_recorded: u64,
    /// Entries that have no replay that can be compared, by the reason.
    pub not_compared: BTreeMap<NotCompared, u64>,
    /// The entries up to this one were removed because they were old; 0: none was.
    pub removed_until: i64,
}

impl ReplayCounts {
    fn add(&mut self, replay: &JournalReplay) {
        self.entries += replay.entries;
        self.same += replay.same();
        self.different += replay.different.len() as u64;
        self.fuel_not_compared += replay.fuel_not_compared;
        self.limits_not_recorded += replay.limits_not_recorded;
        for (_, reason) in &replay.not_compared {
            *self.not_compared.entry(reason.clone()).or_default() += 1;
        }
    }

    /// `before`: the entries up to this one were replayed before the move.
    fn explain(&self, before: i64) -> String {
        // The rest are not decisions of the plugin.
        let of_plugin = self.not_compared.iter().filter(|(reason, _)| {
            !matches!(
                reason,
                NotCompared::ServerAction | NotCompared::OtherPlugin(_)
            )
        });
        let mut parts = vec![format!(
            "the move compared {} answers, of which {} differ, and could not compare {} entries",
            self.same + self.different,
            self.different,
            of_plugin.map(|(_, entries)| entries).sum::<u64>()
        )];
        if before > 0 {
            parts.push(format!("entries up to {before} were replayed before it"));
        }
        if self.removed_until > 0 {
            parts.push(format!(
                "entries up to {} were removed because they were old",
                self.removed_until
            ));
        }
        parts.join("; ")
    }
}

/// Why the revision changed, for the journal.
fn explain(ctx: &Ctx, to: &Revision, request: RevisionMove, counts: &ReplayCounts) -> String {
    let (actor, from) = (&ctx.actor.name, request.replayed_until);
    let (plugin, version) = (&to.stored.description.name, &to.stored.description.version);
    let state = if request.discards_state {
        "begins with an empty state"
    } else {
        "keeps its state"
    };
    let compared = counts.explain(from);
    format!("moved by {actor} to {plugin} {version}, which {state}; {compared}")
}

fn not_used(plugin: &PluginName) -> Error {
    let message = format!("the campaign does not use the plugin {plugin}");
    Error::conflict("other_plugin", message)
}

/// The move is refused while entries are left to replay, and if one differs and that is not accepted.
fn check_replay(replay: &JournalReplay, request: RevisionMove) -> Result<()> {
    let mut reasons = replay.not_compared.iter().map(|(_, reason)| reason);
    if let Some(NotCompared::Unavailable(reason)) =
        reasons.find(|reason| matches!(reason, NotCompared::Unavailable(_)))
    {
        return Err(Error::unavailable(reason.clone()));
    }
    if !replay.different.is_empty() && !request.accepts_differences {
        let differ = replay
            .different
            .iter()
            .map(|(entry, _)| entry.seq.to_string());
        let differ: Vec<_> = differ.take(10).collect();
        let message = format!(
            "{} journal entries differ with this revision, among them {}: replay the journal to see how, and send \
             `accept_differences` to move the campaign all the same",
            replay.different.len(),
            differ.join(", ")
        );
        return Err(Error::conflict("replay_differs", message));
    }
    if let Some(last) = replay.next_after {
        let message = format!(
            "the journal has entries after {last} that were not replayed with this revision: replay it in parts, and send the \
             last `next_after` as `replayed_until`"
        );
        return Err(Error::conflict("not_replayed", message));
    }
    Ok(())
}
