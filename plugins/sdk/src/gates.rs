//! Gates shared by several strategies.

use crate::{
    Gate, Percent, WaveTransition, duration_text, milliseconds_left, percent_text,
    types::WaveReport,
};

impl WaveReport {
    /// The gate that a required share of success puts in front of the next wave: `None` once it is reached,
    /// [`Gate::Wait`] until then, [`Gate::Hold`] if all devices have ended without reaching it.
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
                     {required_successes} ({percent}) were required.",
                    self.name
                ),
            }
        } else {
            Gate::Wait {
                reason: format!(
                    "{completed} of {size} devices of wave '{}' are updated; \
                     the next wave opens at {required_successes} ({percent}).",
                    self.name
                ),
                opens_in: None,
            }
        })
    }
}

/// Criteria for opening the next wave. After the first wave all its devices must have ended, enough of them with
/// success, and the soak time must have passed; an approval can be required. After any other wave enough devices must
/// have succeeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PromotionCriteria {
    /// Required share of success of a wave.
    pub success: Percent,
    /// Soak time after the last device of the first wave has ended, in milliseconds.
    pub soak_time: u64,
    /// Requires an operator to advance the campaign after the first wave.
    pub requires_approval: bool,
}

impl PromotionCriteria {
    /// The gate between two waves.
    pub fn gate(&self, transition: &WaveTransition<'_>) -> Gate {
        if transition.from_first {
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
        if let Some(gate) = before.success_gate(self.success) {
            return gate;
        }
        if let Some(left) = milliseconds_left(*now, before.last_progress_at, self.soak_time) {
            return Gate::Wait {
                reason: format!(
                    "Wave '{}' soaks for {} after its last device has ended; {} remain.",
                    before.name,
                    duration_text(self.soak_time),
                    duration_text(left)
                ),
                opens_in: Some(left),
            };
        }
        if self.requires_approval {
            return Gate::Operator {
                reason: format!(
                    "Wave '{}' has succeeded with {} of {} devices updated; \
                     wave '{}' needs an operator's approval.",
                    before.name, before.counts.completed, before.size, next.name
                ),
            };
        }
        Gate::Open
    }
}
