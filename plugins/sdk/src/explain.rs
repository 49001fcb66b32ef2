//! Fits texts to the host's limits, so that a name that is too long, or has characters that the host refuses, does not
//! invalidate a decision: devices and operators choose names.

use crate::{
    rollout::Outcome,
    types::{HealthVerdict, RollBack},
};

const MAX_SENTENCES: usize = 16;
const MAX_SENTENCE_BYTES: usize = 256;
const MAX_REASON_BYTES: usize = 1024;
/// In characters.
const MAX_GATE_NAME: usize = 100;

pub(crate) fn fit_sentences(sentences: &mut Vec<String>) {
    sentences.truncate(MAX_SENTENCES);
    for sentence in sentences {
        fit(sentence, MAX_SENTENCE_BYTES);
    }
}

pub(crate) fn fit_reason(reason: &mut String) {
    fit(reason, MAX_REASON_BYTES);
}

pub(crate) fn fit_outcome(outcome: &mut Outcome) {
    match outcome {
        Outcome::Proceed | Outcome::Complete(None) => {}
        Outcome::AwaitOperator(gate) => {
            escape(&mut gate.name);
            if let Some((end, _)) = gate.name.char_indices().nth(MAX_GATE_NAME) {
                gate.name.truncate(end);
            }
        }
        Outcome::Hold(reason)
        | Outcome::Complete(Some(reason))
        | Outcome::Fail(reason)
        | Outcome::RollBack(RollBack { reason, .. }) => fit_reason(reason),
    }
}

pub(crate) fn fit_verdict(verdict: &mut HealthVerdict) {
    match verdict {
        HealthVerdict::Healthy | HealthVerdict::Other(_) => {}
        HealthVerdict::Inconclusive(reason)
        | HealthVerdict::Hold(reason)
        | HealthVerdict::RollBack(RollBack { reason, .. }) => fit_reason(reason),
    }
}

fn fit(text: &mut String, bytes: usize) {
    escape(text);
    truncate_with_dots(text, bytes);
}

fn escape(text: &mut String) {
    if text.contains(is_refused) {
        let escaped = text.chars().fold(String::new(), |mut escaped, c| {
            if is_refused(c) {
                escaped.extend(c.escape_default());
            } else {
                escaped.push(c);
            }
            escaped
        });
        *text = escaped;
    }
}

/// True for the characters that the host refuses: control characters, line and paragraph separators, and Unicode's
/// `Bidi_Control`.
fn is_refused(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

fn truncate_with_dots(text: &mut String, bytes: usize) {
    const ELLIPSIS: &str = "...";
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - ELLIPSIS.len()));
        text.push_str(ELLIPSIS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_truncated_between_characters() {
        for (text, bytes, expect) in [
            ("short", 5, "short"),
            ("longer", 5, "lo..."),
            ("äöü", 5, "ä..."),
            ("äöüä", 6, "ä..."),
        ] {
            let mut text = text.to_owned();
            truncate_with_dots(&mut text, bytes);
            assert_eq!(text, expect);
        }
    }

    #[test]
    fn refused_characters_are_escaped() {
        for (text, expected) in [
            (
                "The hardware is a\u{1b}[2J.",
                "The hardware is a\\u{1b}[2J.",
            ),
            ("a\r\nb", "a\\r\\nb"),
            ("\u{202e}x\u{2066}\u{9b}", "\\u{202e}x\\u{2066}\\u{9b}"),
            ("Zürich 東京", "Zürich 東京"),
        ] {
            let mut text = text.to_owned();
            fit_reason(&mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn sentences_beyond_the_sixteenth_are_dropped() {
        let mut sentences = vec!["x".repeat(300); 20];
        fit_sentences(&mut sentences);
        assert_eq!(sentences.len(), 16);
        assert!(sentences.iter().all(|sentence| sentence.len() == 256));
    }
}
