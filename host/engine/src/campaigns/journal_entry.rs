use std::time::Duration;

use tidegate_core::{Named as _, campaign::PluginUse, time::Timestamp};

use crate::ports::{Call, EntryKind, NewJournalEntry};

/// The journal entry for a plugin call.
pub(super) fn journal_entry<T>(
    plugin: &PluginUse,
    kind: EntryKind,
    at: Timestamp,
    call: &Call<T>,
) -> NewJournalEntry {
    let (outcome, explain) = match &call.outcome {
        Ok(_) => ("ok".to_owned(), Vec::new()),
        Err(failure) => (
            failure.as_str().to_owned(),
            failure_notes(failure.to_string(), &call.log),
        ),
    };
    NewJournalEntry {
        kind,
        at,
        plugin: Some(plugin.plugin.clone()),
        revision: Some(plugin.revision),
        input_digest: call.record.input_digest,
        input: call.record.input.clone(),
        output: call.record.output.clone(),
        fuel: call.fuel,
        fuel_costs: call.record.fuel_costs,
        limits: call.record.limits,
        duration: call.duration,
        outcome,
        explain,
        applied: call.outcome.is_ok(),
    }
}

/// The journal entry for the server's own act.
pub(super) fn host_journal_entry(at: Timestamp, outcome: &str, explain: String) -> NewJournalEntry {
    NewJournalEntry {
        kind: EntryKind::Host,
        at,
        plugin: None,
        revision: None,
        input_digest: None,
        input: Vec::new(),
        output: Vec::new(),
        fuel: 0,
        fuel_costs: 0,
        limits: None,
        duration: Duration::ZERO,
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
