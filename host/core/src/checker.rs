//! Checks plugin outputs against the rules of the contract before they take effect.
//!
//! An output that breaks a rule is rejected as a whole.

mod decision;
mod plan;
mod violation;

pub use decision::{Levels, check_decision};
pub use plan::{check_assignment, check_plan};
pub use violation::{MAX_GATE_NAME, Violation};
