//! Decisions that do not depend on the strategy.

use crate::{
    WorstVerdict,
    rollout::{Decision, Observation, Outcome},
    types::Counts,
};

/// The decision if a policy stops the campaign. A campaign whose devices have all ended cannot be held any more.
pub(crate) fn stop(observation: &Observation, worst: WorstVerdict<'_>) -> Option<Decision> {
    let (outcome, sentence) = match worst {
        WorstVerdict::RollBack { policy, request } => (
            Outcome::RollBack(request.clone()),
            format!("Policy {policy} requests a rollback: {}", request.reason),
        ),
        WorstVerdict::Hold { policy, reason } if !has_ended(&total(observation)) => (
            Outcome::Hold(reason.to_owned()),
            format!("Policy {policy} holds the campaign: {reason}"),
        ),
        _ => return None,
    };
    Some(keep_state(observation, outcome, sentence))
}

/// The decision if all devices have ended.
pub(crate) fn complete(observation: &Observation) -> Option<Decision> {
    let total = total(observation);
    if !has_ended(&total) {
        return None;
    }
    let sentence = if total.total() == 0 {
        "There is no device to update.".to_owned()
    } else {
        let progress = progress_text(&total, total.total());
        format!("All devices have ended: {progress}.")
    };
    Some(keep_state(observation, Outcome::Complete(None), sentence))
}

fn keep_state(observation: &Observation, outcome: Outcome, sentence: String) -> Decision {
    let state = observation.state.clone();
    Decision::new(outcome)
        .with_explain(sentence)
        .with_state(state)
}

fn total(observation: &Observation) -> Counts {
    let waves = observation.waves.iter();
    waves.fold(Counts::zero(), |sum, wave| sum.plus(wave.counts))
}

const fn has_ended(total: &Counts) -> bool {
    total.pending + total.in_flight() == 0
}

/// Non-zero counters as text: `12 of 30 completed, 1 failed, 17 in flight`.
pub(crate) fn progress_text(counts: &Counts, size: u64) -> String {
    let mut parts = vec![format!("{} of {size} completed", counts.completed)];
    for (devices, what) in [
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.rejected, "rejected"),
        (counts.cancelled, "cancelled"),
        (counts.in_flight(), "in flight"),
        (counts.pending, "pending"),
    ] {
        if devices > 0 {
            parts.push(format!("{devices} {what}"));
        }
    }
    parts.join(", ")
}
