//! Waves that open one after the other: what most strategies do, with only the gates between the waves left to say.

use serde::{Deserialize, Serialize};

use crate::{
    Worst, read_state,
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
    Shut {
        /// What.
        why: String,
        /// In so many milliseconds it opens, when nothing but time is missing.
        opens_in: Option<u64>,
    },
    /// An operator has to say "go on".
    Operator {
        /// What the operator should look at.
        why: String,
    },
    /// Something that will not pass by itself: hold the campaign.
    Hold {
        /// What.
        why: String,
    },
}

/// From one wave to the next. Waves without devices are no stops.
#[derive(Debug, Clone, Copy)]
pub struct Passage<'a> {
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
/// - A hold that an operator resumes is overruled as long as no device reports anything new: one step, not a licence.
/// - The campaign is complete when every device has ended.
///
/// The decision's state belongs to this function. `Err`: the state that was handed in is not its own.
pub fn in_order(
    observation: &Observation,
    at_once: Option<u64>,
    gate: impl Fn(Passage<'_>) -> Gate,
) -> Result<Decision, String> {
    let memory: Memory = read_state(&observation.state)?;
    let total = observation
        .waves
        .iter()
        .fold(Counts::none(), |sum, wave| sum.plus(wave.counts));
    let worst = observation.worst_verdict();

    if let Worst::RollBack { policy, wish } = worst {
        let said = format!("Policy {policy} asks to go back: {}", wish.reason);
        return Ok(ended(Outcome::RollBack(wish.clone()), said));
    }
    if total.pending + total.in_flight() == 0 {
        let said = match total.total() {
            0 => "There is no device to update.".to_owned(),
            devices => format!("All have ended: {}.", standing(&total, devices)),
        };
        return Ok(ended(Outcome::Complete, said));
    }
    let mut overruled = false;
    if let Worst::Hold { policy, reason } = worst {
        if !memory.is_overruled(observation) {
            return memory.hold(observation, format!("Policy {policy}: {reason}"));
        }
        overruled = true;
    }

    let mut steps = Steps::new(observation, at_once);
    let mut before: Option<usize> = None;
    for (index, next) in observation.waves.iter().enumerate() {
        if next.size == 0 {
            continue;
        }
        if next.is_open() {
            steps.go_on(index, next);
            before = Some(index);
            continue;
        }
        match before.map(|from| (from, &observation.waves[from])) {
            None => steps.open(index, next),
            Some((_, before)) if before.counts.pending > 0 && before.released < before.size => {}
            Some((from, before)) => {
                if let Worst::Inconclusive { policy, reason } = worst {
                    steps.say(format!(
                        "Wave {} waits for policy {policy}: {reason}",
                        next.name
                    ));
                    break;
                }
                let now = observation.context.now;
                match gate(Passage {
                    now,
                    from,
                    before,
                    next,
                }) {
                    Gate::Open => steps.open(index, next),
                    Gate::Shut { why, opens_in } => {
                        steps.say(why);
                        steps.decision.wake_after = opens_in;
                    }
                    Gate::Operator { why } => {
                        steps.say(why);
                        steps.decision.outcome = Outcome::AwaitOperator(index as u32);
                    }
                    Gate::Hold { why } => {
                        if !memory.is_overruled(observation) {
                            return memory.hold(observation, why);
                        }
                        overruled = true;
                        steps.open(index, next);
                    }
                }
            }
        }
        break;
    }
    if overruled {
        steps.say(
            "An operator resumed it, so it goes on until a device reports something new.".into(),
        );
        steps.decision.state.clone_from(&observation.state);
    }
    Ok(steps.decision)
}

/// Whether, and since when, the campaign is held.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Memory {
    held_at: Option<u64>,
}

impl Memory {
    /// What was held, an operator has resumed, and nothing has happened since that the operator could not see.
    fn is_overruled(self, observation: &Observation) -> bool {
        let Some(held_at) = self.held_at else {
            return false;
        };
        let moved_at = observation
            .waves
            .iter()
            .filter_map(|wave| wave.moved_at)
            .max();
        observation.operator.iter().any(|act| {
            act.kind == OperatorActKind::Resumed
                && act.at >= held_at
                && moved_at.is_none_or(|moved_at| moved_at <= act.at)
        })
    }

    fn hold(self, observation: &Observation, why: String) -> Result<Decision, String> {
        let held = Self {
            held_at: Some(self.held_at.unwrap_or(observation.context.now)),
        };
        Ok(Decision {
            state: write_state(&held)?,
            ..ended(Outcome::Hold(why.clone()), why)
        })
    }
}

/// A decision in the making.
struct Steps {
    /// How many more devices may be out; none: any number.
    room: Option<u64>,
    limit: Option<u64>,
    waves: usize,
    decision: Decision,
}

impl Steps {
    fn new(observation: &Observation, at_once: Option<u64>) -> Self {
        let limit = match (observation.context.max_in_flight, at_once) {
            (Some(campaign), Some(config)) => Some(campaign.min(config)),
            (campaign, config) => campaign.or(config),
        };
        let out: u64 = observation.waves.iter().map(WaveReport::out).sum();
        Self {
            room: limit.map(|limit| limit.saturating_sub(out)),
            limit,
            waves: observation.waves.len(),
            decision: Decision {
                admissions: Vec::new(),
                outcome: Outcome::Proceed,
                wake_after: None,
                state: Vec::new(),
                explain: Vec::new(),
            },
        }
    }

    fn say(&mut self, sentence: String) {
        self.decision.explain.push(sentence);
    }

    fn open(&mut self, index: usize, wave: &WaveReport) {
        match self.release(index, wave) {
            0 => self.say(format!("Wave {} is next. {}", wave.name, self.full())),
            devices => self.say(format!(
                "Wave {} ({} of {}) opens with {devices} of {} devices.",
                wave.name,
                index + 1,
                self.waves,
                wave.size,
            )),
        }
    }

    fn go_on(&mut self, index: usize, wave: &WaveReport) {
        if wave.is_over() {
            return;
        }
        let mut said = format!("Wave {}: {}.", wave.name, standing(&wave.counts, wave.size));
        if wave.released < wave.size {
            let level = match self.release(index, wave) {
                0 => self.full(),
                more => format!("Releases {more} more, {} in all.", wave.released + more),
            };
            said = format!("{said} {level}");
        }
        self.say(said);
    }

    /// Raises a wave's level as far as there is room; answers by how much.
    fn release(&mut self, index: usize, wave: &WaveReport) -> u64 {
        let wanted = wave.size.saturating_sub(wave.released);
        let more = self.room.map_or(wanted, |room| room.min(wanted));
        if more > 0 {
            self.room = self.room.map(|room| room - more);
            self.decision.admissions.push(Admission {
                wave: index as u32,
                devices: wave.released + more,
            });
        }
        more
    }

    fn full(&self) -> String {
        let limit = self.limit.unwrap_or(u64::MAX);
        format!("As many devices as may be are in flight ({limit}).")
    }
}

fn ended(outcome: Outcome, said: String) -> Decision {
    Decision {
        admissions: Vec::new(),
        outcome,
        wake_after: None,
        state: Vec::new(),
        explain: vec![said],
    }
}

/// Where devices stand, without the zeros: `12 of 30 completed, 1 failed, 17 in flight`.
fn standing(counts: &Counts, size: u64) -> String {
    let mut parts = vec![format!("{} of {size} completed", counts.completed)];
    for (devices, what) in [
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.rejected, "rejected it"),
        (counts.cancelled, "were called back"),
        (counts.in_flight(), "in flight"),
        (counts.pending, "to come"),
    ] {
        if devices > 0 {
            parts.push(format!("{devices} {what}"));
        }
    }
    parts.join(", ")
}
