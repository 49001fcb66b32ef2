//! Truncates texts to the host's limits, so that an overlong name does not invalidate a decision.

use crate::{
    rollout::Outcome,
    types::{HealthVerdict, RollBack},
};

const MAX_SENTENCES: usize = 16;
const MAX_SENTENCE_BYTES: usize = 256;
const MAX_REASON_BYTES: usize = 1024;

pub(crate) fn truncate_sentences(sentences: &mut Vec<String>) {
    sentences.truncate(MAX_SENTENCES);
    for sentence in sentences {
        truncate_with_dots(sentence, MAX_SENTENCE_BYTES);
    }
}

pub(crate) fn truncate_reason(reason: &mut String) {
    truncate_with_dots(reason, MAX_REASON_BYTES);
}

pub(crate) fn truncate_outcome(outcome: &mut Outcome) {
    match outcome {
        Outcome::Proceed | Outcome::AwaitOperator(_) | Outcome::Complete => {}
        Outcome::Hold(reason)
        | Outcome::Fail(reason)
        | Outcome::RollBack(RollBack { reason, .. }) => truncate_reason(reason),
    }
}

pub(crate) fn truncate_verdict(verdict: &mut HealthVerdict) {
    match verdict {
        HealthVerdict::Healthy => {}
        HealthVerdict::Inconclusive(reason)
        | HealthVerdict::Hold(reason)
        | HealthVerdict::RollBack(RollBack { reason, .. }) => truncate_reason(reason),
    }
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
    fn sentences_beyond_the_sixteenth_are_dropped() {
        let mut sentences = vec!["x".repeat(300); 20];
        truncate_sentences(&mut sentences);
        assert_eq!(sentences.len(), 16);
        assert!(sentences.iter().all(|sentence| sentence.len() == 256));
    }
}
