use tidegate_core::id::CampaignId;

use super::{
    get,
    replay::{NotCompared, recorded_failure},
};
use crate::{Ctx, Error, PluginCalls, Result, ports::Store};

/// The question of a recorded call as a golden, JSON text. The answer is expected, unless the call failed.
pub async fn question(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    id: CampaignId,
    seq: i64,
) -> Result<String> {
    get(ctx, store, id).await?;
    let recorded = store.recorded_call(ctx.tenant, id, seq).await?;
    let recorded = recorded.ok_or_else(|| Error::not_found("journal entry", seq))?;
    let entry = &recorded.entry;
    if entry.plugin.is_none() {
        return Err(no_question(&NotCompared::ServerAction));
    }
    if recorded.input.is_empty() {
        return Err(no_question(&NotCompared::NoInput));
    }
    let has_answer = recorded_failure(entry).is_none() && !recorded.output.is_empty();
    let output = has_answer.then_some(&recorded.output[..]);
    let golden = plugins.golden(&recorded.input, output);
    golden.map_err(|failure| no_question(&NotCompared::InvalidRecord(failure.to_string())))
}

fn no_question(reason: &NotCompared) -> Error {
    Error::conflict("not_replayable", reason.to_string())
}
