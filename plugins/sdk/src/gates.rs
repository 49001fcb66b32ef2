//! Gates that several strategies put before a wave.

use crate::{
    Gate, Percent, WaveTransition, duration_text, milliseconds_left, percent_text,
    types::WaveReport,
};

impl WaveReport {
    /// What this share of success has to say about the wave that follows: nothing once it is reached, shut until
    /// then, and a hold when every device has ended and it is not.
    pub fn success_gate(&self, success: Percent) -> Option<Gate> {
        if self.has_succeeded(success) {
            return None;
        }
        let (completed, size, required_successes) = (
            self.counts.completed,
            self.size,
            self.required_successes(success),
        );
        let percent = percent_text(success.basis_points());
        Some(if self.has_ended() {
            Gate::Hold {
                reason: format!(
                    "Wave '{}' has ended with {completed} of {size} devices updated; \
                     {required_successes} ({percent}) were asked for.",
                    self.name
                ),
            }
        } else {
            Gate::Wait {
                reason: format!(
                    "{completed} of {size} devices of wave '{}' are updated; \
                     {required_successes} ({percent}) open the next wave.",
                    self.name
                ),
                opens_in: None,
            }
        })
    }
}

/// What the first wave has to stand before all others follow it: every one of its devices ends, enough of them well,
/// then nothing bad shows for a while, and where that is wanted an operator says "go on". Of each wave after it, enough
/// have to be updated before the next one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromotionCriteria {
    /// So much of a wave has to be updated.
    pub success: Percent,
    /// How long it is watched after the last of its devices has ended, in milliseconds.
    pub soak_time: u64,
    /// Whether an operator has the last word.
    pub requires_approval: bool,
}

impl PromotionCriteria {
    /// The gate between two waves.
    pub fn gate(&self, transition: &WaveTransition<'_>) -> Gate {
        if transition.from == 0 {
            self.first_wave_gate(transition)
        } else {
            let gate = transition.before.success_gate(self.success);
            gate.unwrap_or(Gate::Open)
        }
    }

    fn first_wave_gate(&self, transition: &WaveTransition<'_>) -> Gate {
        let WaveTransition {
            now, before, next, ..
        } = transition;
        if !before.has_ended() {
            return Gate::Wait {
                reason: format!(
                    "Wave '{}' opens when every device of '{}' has ended: {} of {} have.",
                    next.name,
                    before.name,
                    before.counts.ended(),
                    before.size
                ),
                opens_in: None,
            };
        }
        if let Some(shut) = before.success_gate(self.success) {
            return shut;
        }
        if let Some(left) = milliseconds_left(*now, before.moved_at, self.soak_time) {
            return Gate::Wait {
                reason: format!(
                    "Wave '{}' is watched for {} after its last device, {} more.",
                    before.name,
                    duration_text(self.soak_time),
                    duration_text(left)
                ),
                opens_in: Some(left),
            };
        }
        if self.requires_approval && next.advanced_at.is_none() {
            return Gate::Operator {
                reason: format!(
                    "Wave '{}' has passed with {} of {} devices updated; \
                     an operator decides whether '{}' follows.",
                    before.name, before.counts.completed, before.size, next.name
                ),
            };
        }
        Gate::Open
    }
}
