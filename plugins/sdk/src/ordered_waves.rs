//! Waves that open one after the other: what most strategies do, with only the gates between the waves left to say.

use serde::{Deserialize, Serialize};

use crate::{
    WorstVerdict, read_state,
    rollout::{Admission, Decision, Observation, OperatorActKind, Outcome},
    types::{Counts, WaveReport},
    write_state,
};

/// What stands before a wave that has not opened. Reasons are sentences for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Nothing.
    Open,
    /// Something that will pass.
    Wait {
        /// What.
        reason: String,
        /// In so many milliseconds it opens, when nothing but time is missing.
        opens_in: Option<u64>,
    },
    /// An operator has to say "go on".
    Operator {
        /// What the operator should look at.
        reason: String,
    },
    /// Something that will not pass by itself: hold the campaign.
    Hold {
        /// What.
        reason: String,
    },
}

/// From one wave to the next. Waves without devices are no stops.
#[derive(Debug, Clone, Copy)]
pub struct WaveTransition<'a> {
    /// When.
    pub now: u64,
    /// Index of the wave that is open.
    pub from: usize,
    /// That wave: every one of its devices is released.
    pub before: &'a WaveReport,
    /// The wave that may open.
    pub next: &'a WaveReport,
}

/// Releases the waves one after the other, each behind its gate.
///
/// - Never more than `max-in-flight` devices, nor more than `at_once`, are out at the same time.
/// - The worst verdict of the policies counts: `roll-back` and `hold` are answered as they are, and while one is
///   `inconclusive` no wave opens but the first, though a wave under way goes on.
/// - A gate that holds gives way when an operator resumes the campaign over it; a policy that says hold does not.
/// - The campaign is complete when every device has ended.
///
/// The decision's state belongs to this function. `Err`: the state that was handed in is not its own.
pub fn in_order(
    observation: &Observation,
    at_once: Option<u64>,
    gate: impl Fn(WaveTransition<'_>) -> Gate,
) -> Result<Decision, String> {
    let worst = observation.worst_verdict();
    if let Some(decision) = decide_without_gates(observation, worst) {
        return Ok(decision);
    }
    let mut builder = DecisionBuilder::new(observation, at_once);
    let mut before: Option<usize> = None;
    for (index, next) in observation.waves.iter().enumerate() {
        if next.size == 0 {
            continue;
        }
        if next.is_open() {
            builder.continue_wave(index, next);
            before = Some(index);
            continue;
        }
        let Some(from) = before else {
            builder.open(index, next);
            break;
        };
        let before = &observation.waves[from];
        if before.counts.pending > 0 && before.released < before.size {
            break;
        }
        if let WorstVerdict::Inconclusive { policy, reason } = worst {
            builder.explain(format!(
                "Wave '{}' waits for policy {policy}: {reason}",
                next.name
            ));
            break;
        }
        let now = observation.context.now;
        let transition = WaveTransition {
            now,
            from,
            before,
            next,
        };
        builder.apply_gate(gate(transition), index, observation)?;
        break;
    }
    Ok(builder.decision)
}

/// What needs no look at the waves one by one.
fn decide_without_gates(observation: &Observation, worst: WorstVerdict<'_>) -> Option<Decision> {
    let waves = observation.waves.iter();
    let total = waves.fold(Counts::zero(), |sum, wave| sum.plus(wave.counts));
    let has_ended = total.pending + total.in_flight() == 0;
    let (outcome, sentence) = match worst {
        WorstVerdict::RollBack { policy, request } => (
            Outcome::RollBack(request.clone()),
            format!("Policy {policy} asks to go back: {}", request.reason),
        ),
        _ if has_ended && total.total() == 0 => {
            (Outcome::Complete, "There is no device to update.".into())
        }
        _ if has_ended => (
            Outcome::Complete,
            format!("All have ended: {}.", progress_text(&total, total.total())),
        ),
        WorstVerdict::Hold { policy, reason } => (
            Outcome::Hold(reason.to_owned()),
            format!("Policy {policy} says hold: {reason}"),
        ),
        WorstVerdict::Healthy | WorstVerdict::Inconclusive { .. } => return None,
    };
    Some(Decision {
        admissions: Vec::new(),
        outcome,
        wake_after: None,
        state: observation.state.clone(),
        explain: vec![sentence],
    })
}

/// Since when a gate holds the campaign; forgotten when the wave behind the gate opens.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct HoldState {
    held_at: Option<u64>,
}

impl HoldState {
    /// An operator has resumed what was held, and so has seen why.
    fn is_overridden(self, observation: &Observation) -> bool {
        self.held_at.is_some_and(|held_at| {
            observation
                .operator
                .iter()
                .any(|act| act.kind == OperatorActKind::Resumed && act.at >= held_at)
        })
    }
}

/// A decision in the making.
struct DecisionBuilder {
    /// How many more devices may be out; none: any number.
    remaining: Option<u64>,
    limit: Option<u64>,
    waves: usize,
    decision: Decision,
}

impl DecisionBuilder {
    fn new(observation: &Observation, at_once: Option<u64>) -> Self {
        let limit = match (observation.context.max_in_flight, at_once) {
            (Some(campaign), Some(config)) => Some(campaign.min(config)),
            (campaign, config) => campaign.or(config),
        };
        let out: u64 = observation.waves.iter().map(WaveReport::outstanding).sum();
        Self {
            remaining: limit.map(|limit| limit.saturating_sub(out)),
            limit,
            waves: observation.waves.len(),
            decision: Decision {
                admissions: Vec::new(),
                outcome: Outcome::Proceed,
                wake_after: None,
                state: observation.state.clone(),
                explain: Vec::new(),
            },
        }
    }

    fn explain(&mut self, sentence: String) {
        self.decision.explain.push(sentence);
    }

    /// Does as the gate before a wave says.
    fn apply_gate(
        &mut self,
        gate: Gate,
        index: usize,
        observation: &Observation,
    ) -> Result<(), String> {
        let next = &observation.waves[index];
        match gate {
            Gate::Open => self.open(index, next),
            Gate::Wait { reason, opens_in } => {
                self.explain(reason);
                self.decision.wake_after = opens_in;
            }
            Gate::Operator { reason } => {
                self.explain(reason);
                self.decision.outcome = Outcome::AwaitOperator(index as u32);
            }
            Gate::Hold { reason } => {
                let mut hold_state: HoldState = read_state(&observation.state)?;
                if hold_state.is_overridden(observation) {
                    self.explain(format!("{reason} An operator resumed it all the same."));
                    self.open(index, next);
                    return Ok(());
                }
                hold_state.held_at.get_or_insert(observation.context.now);
                self.decision.state = write_state(&hold_state)?;
                // A device may still be let in where a wave under way has room; a hold lets in nobody.
                self.decision.admissions.clear();
                self.decision.explain = vec![reason.clone()];
                self.decision.outcome = Outcome::Hold(reason);
            }
        }
        Ok(())
    }

    fn open(&mut self, index: usize, wave: &WaveReport) {
        match self.release(index, wave) {
            0 => self.explain(format!(
                "Wave '{}' is next. {}",
                wave.name,
                self.limit_reached()
            )),
            devices => {
                self.decision.state = Vec::new();
                self.explain(format!(
                    "Wave '{}' ({} of {}) opens with {devices} of {} devices.",
                    wave.name,
                    index + 1,
                    self.waves,
                    wave.size,
                ));
            }
        }
    }

    fn continue_wave(&mut self, index: usize, wave: &WaveReport) {
        if wave.has_ended() {
            return;
        }
        let mut sentence = format!(
            "Wave '{}': {}.",
            wave.name,
            progress_text(&wave.counts, wave.size)
        );
        if wave.released < wave.size {
            let level = match self.release(index, wave) {
                0 => self.limit_reached(),
                more => format!("Releases {more} more, {} in all.", wave.released + more),
            };
            sentence = format!("{sentence} {level}");
        }
        self.explain(sentence);
    }

    /// Raises a wave's level as far as there is room; answers by how much.
    fn release(&mut self, index: usize, wave: &WaveReport) -> u64 {
        let pending = wave.size.saturating_sub(wave.released);
        let more = self
            .remaining
            .map_or(pending, |remaining| remaining.min(pending));
        if more > 0 {
            self.remaining = self.remaining.map(|remaining| remaining - more);
            self.decision.admissions.push(Admission {
                wave: index as u32,
                devices: wave.released + more,
            });
        }
        more
    }

    fn limit_reached(&self) -> String {
        let limit = self.limit.unwrap_or(u64::MAX);
        format!("The limit of {limit} devices in flight is reached.")
    }
}

/// Where devices stand, without the zeros: `12 of 30 completed, 1 failed, 17 in flight`.
fn progress_text(counts: &Counts, size: u64) -> String {
    let mut parts = vec![format!("{} of {size} completed", counts.completed)];
    for (devices, what) in [
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.rejected, "rejected"),
        (counts.cancelled, "called back"),
        (counts.in_flight(), "in flight"),
        (counts.pending, "to come"),
    ] {
        if devices > 0 {
            parts.push(format!("{devices} {what}"));
        }
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;
