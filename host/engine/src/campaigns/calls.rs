use std::collections::HashMap;

use parking_lot::Mutex;
use tidegate_core::{
    Named as _,
    campaign::PluginUse,
    checker::Violation,
    id::{Digest, TenantId},
    time::Timestamp,
};

use crate::{
    Engine, Result,
    ports::{Call, CallFailure, EntryKind, NewJournalEntry, Usage},
};

/// Plugin usage that is not written yet.
#[derive(Default)]
pub struct UsageLog(Mutex<HashMap<(TenantId, Digest), Usage>>);

impl UsageLog {
    fn add<T>(&self, tenant: TenantId, plugin: Digest, call: &Call<T>) {
        let mut log = self.0.lock();
        let usage = log.entry((tenant, plugin)).or_default();
        usage.calls += 1;
        usage.failures += u64::from(call.outcome.is_err());
        usage.fuel += call.fuel;
    }

    fn take(&self) -> HashMap<TenantId, Vec<(Digest, Usage)>> {
        let taken = std::mem::take(&mut *self.0.lock());
        let mut by_tenant: HashMap<_, Vec<_>> = HashMap::new();
        for ((tenant, plugin), usage) in taken {
            by_tenant.entry(tenant).or_default().push((plugin, usage));
        }
        by_tenant
    }
}

/// Writes the plugin usage since the last call. Also called when the server stops.
pub async fn flush_usage(engine: &Engine) -> Result<()> {
    for (tenant, usage) in engine.usage.take() {
        engine.store().record_plugin_usage(tenant, usage).await?;
    }
    Ok(())
}

/// Checks the output of a call. An output that the checker refuses turns into a failure.
pub(super) fn check_output<T, U>(
    call: Call<T>,
    check: impl FnOnce(T) -> std::result::Result<U, Violation>,
) -> Call<U> {
    let refused = |violation: Violation| CallFailure::InvalidAnswer(violation.to_string());
    Call {
        outcome: call
            .outcome
            .and_then(|answer| check(answer).map_err(refused)),
        fuel: call.fuel,
        peak_memory: call.peak_memory,
        duration: call.duration,
        log: call.log,
        record: call.record,
    }
}

/// Counts a plugin call of a campaign, logs a failure, and returns its journal entry.
pub(super) fn journal_entry<T>(
    engine: &Engine,
    tenant: TenantId,
    plugin: &PluginUse,
    kind: EntryKind,
    at: Timestamp,
    call: &Call<T>,
) -> NewJournalEntry {
    count(engine, tenant, plugin, kind, call);
    let (outcome, explain) = match &call.outcome {
        Ok(_) => ("ok".to_owned(), Vec::new()),
        Err(failure) => {
            log_failure(plugin, kind, call, failure);
            (
                failure.as_str().to_owned(),
                failure_notes(failure.to_string(), &call.log),
            )
        }
    };
    NewJournalEntry {
        kind,
        at,
        plugin: plugin.plugin.clone(),
        revision: Some(plugin.revision),
        input_digest: call.record.input_digest,
        input: call.record.input.clone(),
        output: call.record.output.clone(),
        fuel: call.fuel,
        duration: call.duration,
        outcome,
        explain,
        applied: call.outcome.is_ok(),
    }
}

/// Counts a plugin call that has no journal, and logs a failure.
pub(crate) fn record_call<T>(
    engine: &Engine,
    tenant: TenantId,
    plugin: &PluginUse,
    kind: EntryKind,
    call: &Call<T>,
) {
    count(engine, tenant, plugin, kind, call);
    if let Err(failure) = &call.outcome {
        log_failure(plugin, kind, call, failure);
    }
}

fn count<T>(
    engine: &Engine,
    tenant: TenantId,
    plugin: &PluginUse,
    kind: EntryKind,
    call: &Call<T>,
) {
    engine.usage.add(tenant, plugin.revision, call);
    engine.ports.observer.plugin_called(
        &plugin.plugin,
        kind.as_str(),
        call.outcome.as_ref().err(),
        call.fuel,
        call.duration,
    );
}

fn log_failure<T>(plugin: &PluginUse, kind: EntryKind, call: &Call<T>, failure: &CallFailure) {
    tracing::warn!(plugin = plugin.plugin, revision = %plugin.revision, call = kind.as_str(), class = failure.as_str(),
        fuel = call.fuel, peak_memory = call.peak_memory, "{failure}");
}

/// A journal entry for the server's own act.
pub(super) fn host_journal_entry(at: Timestamp, outcome: &str, explain: String) -> NewJournalEntry {
    NewJournalEntry {
        kind: EntryKind::Host,
        at,
        plugin: String::new(),
        revision: None,
        input_digest: None,
        input: Vec::new(),
        output: Vec::new(),
        fuel: 0,
        duration: std::time::Duration::ZERO,
        outcome: outcome.to_owned(),
        explain: vec![explain],
        applied: true,
    }
}

fn failure_notes(failure: String, log: &[String]) -> Vec<String> {
    // A panic writes the last lines.
    let tail = log.iter().skip(log.len().saturating_sub(4)).cloned();
    std::iter::once(failure).chain(tail).collect()
}
