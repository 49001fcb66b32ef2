//! Words for people, cut to what the host takes: a name that is longer than anyone thought must not cost a campaign
//! its decision.

use crate::{
    rollout::Outcome,
    types::{HealthVerdict, RollBack},
};

const SENTENCES: usize = 16;
const SENTENCE_BYTES: usize = 256;
const REASON_BYTES: usize = 1024;

pub(crate) fn bound_sentences(sentences: &mut Vec<String>) {
    sentences.truncate(SENTENCES);
    for sentence in sentences {
        cut(sentence, SENTENCE_BYTES);
    }
}

pub(crate) fn bound_reason(reason: &mut String) {
    cut(reason, REASON_BYTES);
}

pub(crate) fn bound_outcome(outcome: &mut Outcome) {
    match outcome {
        Outcome::Proceed | Outcome::AwaitOperator(_) | Outcome::Complete => {}
        Outcome::Hold(reason)
        | Outcome::Fail(reason)
        | Outcome::RollBack(RollBack { reason, .. }) => bound_reason(reason),
    }
}

pub(crate) fn bound_verdict(verdict: &mut HealthVerdict) {
    match verdict {
        HealthVerdict::Healthy => {}
        HealthVerdict::Inconclusive(reason)
        | HealthVerdict::Hold(reason)
        | HealthVerdict::RollBack(RollBack { reason, .. }) => bound_reason(reason),
    }
}

fn cut(text: &mut String, bytes: usize) {
    const DOTS: &str = "...";
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes - DOTS.len()));
        text.push_str(DOTS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_cut_between_characters() {
        for (text, bytes, expect) in [
            ("short", 5, "short"),
            ("longer", 5, "lo..."),
            ("äöü", 5, "ä..."),
            ("äöüä", 6, "ä..."),
        ] {
            let mut text = text.to_owned();
            cut(&mut text, bytes);
            assert_eq!(text, expect);
        }
    }

    #[test]
    fn the_seventeenth_sentence_is_dropped() {
        let mut sentences = vec!["x".repeat(300); 20];
        bound_sentences(&mut sentences);
        assert_eq!(sentences.len(), 16);
        assert!(sentences.iter().all(|sentence| sentence.len() == 256));
    }
}
