use std::time::Duration;

use tidegate_core::id::{CampaignId, Digest};
use tokio::time::Instant;

use super::{
    get,
    replay::{NotCompared, Replay, Replayer},
};
use crate::{
    Ctx, PluginCalls, Result,
    ports::{JournalEntry, Store},
};

/// After this time no further call is repeated. The last one may take as long as its deadline.
const MAX_TIME: Duration = Duration::from_secs(2);
/// After this number of bytes of answers that differ no further call is repeated.
const MAX_DIFFERENT_BYTES: usize = 1 << 20;

/// A part of a campaign's journal, replayed.
#[derive(Debug, Default)]
pub struct JournalReplay {
    /// The number of entries.
    pub entries: u64,
    /// The number of entries whose answers were compared, but not their fuel.
    pub fuel_not_compared: u64,
    /// The number of entries that were repeated under today's limits, because theirs are not recorded.
    pub limits_not_recorded: u64,
    /// The entries whose replay differs, oldest first.
    pub different: Vec<(JournalEntry, Replay)>,
    /// The entries that have no replay that can be compared, oldest first.
    pub not_compared: Vec<(JournalEntry, NotCompared)>,
    /// The sequence number of the last entry.
    pub last: i64,
    /// The same, if others may follow.
    pub next_after: Option<i64>,
}

impl JournalReplay {
    /// The number of entries whose replay is the same.
    pub fn same(&self) -> u64 {
        self.entries - self.different.len() as u64 - self.not_compared.len() as u64
    }
}

/// Repeats the calls of at most `limit` entries after the one with sequence number `after`, oldest first, with their
/// original revisions or another one. Reads one entry at a time, and ends early after some time or bytes, so that neither
/// depends on the length of the journal. Waits while the tenant, or other tenants, replay journals.
pub async fn replay_journal(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    id: CampaignId,
    (after, limit): (i64, u32),
    revision: Option<Digest>,
) -> Result<JournalReplay> {
    get(ctx, store, id).await?;
    let mut replayer = Replayer::new(ctx, store, plugins, revision).await?;
    let _turn = plugins.replay_turn(ctx.tenant).await;
    let started = Instant::now();
    let mut found = JournalReplay {
        last: after,
        ..JournalReplay::default()
    };
    let mut bytes = 0;
    while found.entries < u64::from(limit)
        && bytes < MAX_DIFFERENT_BYTES
        && (found.entries == 0 || started.elapsed() < MAX_TIME)
    {
        let Some(recorded) = store.next_recorded_call(ctx.tenant, id, found.last).await? else {
            return Ok(found);
        };
        let replay = replayer.replay(&recorded).await?;
        found.entries += 1;
        found.last = recorded.entry.seq;
        if let Ok(replay) = &replay {
            found.fuel_not_compared += u64::from(!replay.compares_fuel);
            found.limits_not_recorded += u64::from(!replay.has_recorded_limits);
        }
        match replay {
            Ok(replay) if replay.is_same() => {}
            Ok(replay) => {
                bytes += replay.decision.len() + replay.recorded.len();
                found.different.push((recorded.entry, replay));
            }
            Err(reason) => found.not_compared.push((recorded.entry, reason)),
        }
    }
    found.next_after = Some(found.last);
    Ok(found)
}
