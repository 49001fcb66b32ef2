//! Waves that open in order: the common part of most strategies, which only add the gates between waves.

use serde::{Deserialize, Serialize};

use crate::{
    WorstVerdict,
    in_flight::InFlightLimit,
    read_state,
    rollout::{self, Decision, Observation, Outcome, Release},
    stop::{complete, progress_text, stop},
    types::{RollBack, Scope, WaveReport},
    write_state,
};

/// Condition for opening the next wave. Reasons are sentences for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// The wave opens.
    Open,
    /// The wave opens later.
    Wait {
        /// What it waits for.
        reason: String,
        /// Milliseconds until it opens, if only time is missing.
        opens_in: Option<u64>,
    },
    /// An operator must advance the campaign.
    Operator {
        /// What the operator should check.
        reason: String,
    },
    /// The campaign is held until an operator resumes it.
    Hold {
        /// Why it is held.
        reason: String,
    },
    /// All devices that have the firmware, or are getting it, go back to what they had before.
    RollBack {
        /// Why they go back.
        reason: String,
    },
}

impl Gate {
    /// Why the gate is closed; `None` if it is open.
    fn reason(&self) -> Option<&str> {
        match self {
            Self::Open => None,
            Self::Wait { reason, .. }
            | Self::Operator { reason }
            | Self::Hold { reason }
            | Self::RollBack { reason } => Some(reason),
        }
    }
}

/// Transition from an open wave to the next one. Empty waves are skipped.
#[derive(Debug, Clone, Copy)]
pub struct WaveTransition<'a> {
    /// Current time in milliseconds since 1970.
    pub now: u64,
    /// Index of the open wave.
    pub from: usize,
    /// True if no wave before the open one has devices.
    pub from_first: bool,
    /// The open wave, with all devices released.
    pub before: &'a WaveReport,
    /// The wave to open.
    pub next: &'a WaveReport,
}

/// Releases the waves in order, each behind its gate.
///
/// - At most `max-in-flight` devices, and at most `at_once`, are outstanding. Devices that wait for a retry do not count.
/// - The worst verdict of the policies applies. `roll-back` and `hold` are returned as the outcome. While it is
///   `inconclusive` no wave opens except the first; open waves continue.
/// - An operator who advances the campaign opens the next wave, whatever gate is closed, and although a policy is
///   inconclusive. A policy that holds the campaign and the limits of devices in flight still apply.
/// - An operator who resumes the campaign overrides a gate that holds, but not a policy that holds.
/// - The campaign is complete when all devices have ended.
///
/// The decision's state belongs to this function; it returns `Err` if it cannot read the state of the observation.
pub fn in_order(
    observation: &Observation,
    at_once: Option<u64>,
    gate: impl Fn(WaveTransition<'_>) -> Gate,
) -> Result<Decision, String> {
    let worst = observation.worst_verdict();
    if let Some(decision) = stop(observation, worst).or_else(|| complete(observation)) {
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
        let gate = match worst {
            WorstVerdict::Inconclusive { policy, reason } => Gate::Wait {
                reason: format!("Wave '{}' waits for policy {policy}: {reason}", next.name),
                opens_in: None,
            },
            _ => gate(WaveTransition {
                now: observation.context.now,
                from,
                from_first: observation.waves[..from].iter().all(|wave| wave.size == 0),
                before,
                next,
            }),
        };
        builder.apply_gate(gate, index, observation)?;
        break;
    }
    Ok(builder.decision)
}

/// When a gate first held the campaign; cleared when the wave behind the gate opens.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct HoldState {
    held_at: Option<u64>,
}

impl HoldState {
    /// True if an operator has resumed the campaign since the gate held it.
    fn is_overridden(self, observation: &Observation) -> bool {
        self.held_at.is_some() && observation.resumed_since(self.held_at)
    }
}

/// Builds a decision.
struct DecisionBuilder {
    limit: InFlightLimit,
    decision: Decision,
}

impl DecisionBuilder {
    fn new(observation: &Observation, at_once: Option<u64>) -> Self {
        Self {
            limit: InFlightLimit::new(observation, at_once),
            decision: Decision::new(Outcome::Proceed).with_state(observation.state.clone()),
        }
    }

    fn explain(&mut self, sentence: String) {
        self.decision.explain.push(sentence);
    }

    /// Applies the gate of the next wave.
    fn apply_gate(
        &mut self,
        gate: Gate,
        index: usize,
        observation: &Observation,
    ) -> Result<(), String> {
        let next = &observation.waves[index];
        if let (Some(reason), Some(_)) = (gate.reason(), next.advanced_at) {
            self.explain(format!("An operator advanced past this gate: {reason}"));
            self.open(index, next);
            return Ok(());
        }
        match gate {
            Gate::Open => self.open(index, next),
            Gate::Wait { reason, opens_in } => {
                self.explain(reason);
                self.decision.wake_after = opens_in;
            }
            Gate::Operator { reason } => {
                self.explain(reason);
                self.decision.outcome = Outcome::AwaitOperator(rollout::Gate {
                    name: next.name.clone(),
                    before: Some(index as u32),
                });
            }
            Gate::Hold { reason } => {
                let mut hold_state: HoldState = read_state(&observation.state)?;
                if hold_state.is_overridden(observation) {
                    self.explain(format!("{reason} An operator has resumed the campaign."));
                    self.open(index, next);
                    return Ok(());
                }
                hold_state.held_at.get_or_insert(observation.context.now);
                self.decision.state = write_state(&hold_state)?;
                // An open wave may have released devices before; a hold releases none.
                self.decision.releases.clear();
                self.decision.explain = vec![reason.clone()];
                self.decision.outcome = Outcome::Hold(reason);
            }
            Gate::RollBack { reason } => {
                self.decision.releases.clear();
                self.decision.explain = vec![reason.clone()];
                self.decision.outcome = Outcome::RollBack(RollBack {
                    scope: Scope::Everything,
                    reason,
                });
            }
        }
        Ok(())
    }

    fn open(&mut self, index: usize, wave: &WaveReport) {
        match self.release(index, wave) {
            0 => self.explain(format!(
                "Wave '{}' is next. {}",
                wave.name,
                self.limit.reached_text()
            )),
            devices => {
                self.decision.state = Vec::new();
                // The number by which operators advance to it.
                self.explain(format!(
                    "Wave {index} '{}' opens with {devices} of {} devices.",
                    wave.name, wave.size,
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
                0 => self.limit.reached_text(),
                more => format!("Releases {more} more, {} in total.", wave.released + more),
            };
            sentence = format!("{sentence} {level}");
        }
        self.explain(sentence);
    }

    /// Raises a wave's level as far as the limit allows; returns the increase.
    fn release(&mut self, index: usize, wave: &WaveReport) -> u64 {
        let pending = wave.size.saturating_sub(wave.released);
        let more = self.limit.take(pending);
        if more > 0 {
            self.decision.releases.push(Release {
                wave: index as u32,
                devices: wave.released + more,
            });
        }
        more
    }
}

#[cfg(test)]
mod tests;
