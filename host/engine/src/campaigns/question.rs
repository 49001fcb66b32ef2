use tidegate_core::id::CampaignId;

use super::replay::{NotCompared, recorded_call, recorded_failure};
use crate::{Ctx, PluginCalls, Result, ports::Store};

/// The question of a recorded call as a golden, JSON text. The answer is expected, unless the call failed.
pub async fn question(
    ctx: &Ctx,
    store: &dyn Store,
    plugins: &PluginCalls,
    id: CampaignId,
    seq: i64,
) -> Result<String> {
    let recorded = recorded_call(ctx, store, id, seq).await?;
    let entry = &recorded.entry;
    if entry.plugin.is_none() {
        return Err(NotCompared::ServerAction.into());
    }
    if recorded.input.is_empty() {
        return Err(NotCompared::NoInput.into());
    }
    let has_answer = recorded_failure(entry).is_none() && !recorded.output.is_empty();
    let output = has_answer.then_some(&recorded.output[..]);
    let golden = plugins.golden(&recorded.input, output);
    golden.map_err(|failure| NotCompared::InvalidRecord(failure.to_string()).into())
}
