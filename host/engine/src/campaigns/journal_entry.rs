use std::time::Duration;

use tidegate_core::{Named as _, campaign::PluginUse, time::Timestamp};

use crate::{
    plugin_calls::PluginCall,
    ports::{EntryKind, NewJournalEntry, Record},
};

/// Maximum size of the log lines of an entry, in bytes. Those of a call may have more.
const MAX_LOG_BYTES: usize = 4 << 10;

/// The journal entry for a plugin call.
pub(super) fn journal_entry<T>(
    plugin: &PluginUse,
    at: Timestamp,
    PluginCall { kind, call }: &PluginCall<T>,
) -> NewJournalEntry {
    let (outcome, explain) = match &call.outcome {
        Ok(_) => ("ok".to_owned(), Vec::new()),
        Err(failure) => (
            failure.as_str().to_owned(),
            failure_notes(failure.to_string(), &call.log),
        ),
    };
    NewJournalEntry {
        kind: *kind,
        at,
        plugin: Some(plugin.plugin.clone()),
        revision: Some(plugin.revision),
        input_digest: call.record.input_digest,
        input: call.record.input.clone(),
        output: call.record.output.clone(),
        fuel: call.fuel,
        peak_memory: Some(call.peak_memory),
        limits: call.record.limits,
        duration: call.duration,
        outcome,
        explain,
        log: first_lines(&call.log),
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
        input: Record::default(),
        output: Record::default(),
        fuel: 0,
        peak_memory: None,
        limits: None,
        duration: Duration::ZERO,
        outcome: outcome.to_owned(),
        explain: vec![explain],
        log: Vec::new(),
        applied: true,
    }
}

/// The lines that an entry keeps, and how many it leaves out.
fn first_lines(log: &[String]) -> Vec<String> {
    let mut remaining = MAX_LOG_BYTES;
    let mut kept = Vec::new();
    for line in log {
        if remaining == 0 {
            let left_out = log.len() - kept.len();
            kept.push(format!("... {left_out} more lines"));
            break;
        }
        let part = &line[..line.floor_char_boundary(remaining)];
        // An empty line counts as one byte, so that the number of lines is limited as well. What is cut ends the log.
        let is_cut = part.len() < line.len();
        remaining = if is_cut {
            0
        } else {
            remaining - part.len().max(1)
        };
        kept.push(part.to_owned());
    }
    kept
}

fn failure_notes(failure: String, log: &[String]) -> Vec<String> {
    // A panic writes the last lines.
    let tail = log.iter().skip(log.len().saturating_sub(4)).cloned();
    std::iter::once(failure).chain(tail).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_of_an_entry_is_bounded() {
        let line = |text: &str| text.to_owned();
        let short = [line("a"), line(""), line("b")];
        assert_eq!(first_lines(&short), short);

        let long = [line("a"), "é".repeat(MAX_LOG_BYTES), line("b"), line("c")];
        let kept = first_lines(&long);
        assert_eq!(kept[1].len(), MAX_LOG_BYTES - 2);
        assert_eq!(kept[2..], ["... 2 more lines"]);

        let empty = vec![String::new(); MAX_LOG_BYTES + 5];
        let kept = first_lines(&empty);
        assert_eq!(kept.len(), MAX_LOG_BYTES + 1);
        assert_eq!(kept[MAX_LOG_BYTES], "... 5 more lines");
    }
}
