//! The checker: what a plugin proposes becomes an effect only through here.
//!
//! An answer that breaks a rule is refused whole.

mod decision;
mod plan;
mod violation;

pub use decision::{Levels, check_decision};
pub use plan::{check_assignment, check_plan};
pub use violation::Violation;
