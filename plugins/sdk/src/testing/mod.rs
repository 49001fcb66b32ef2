//! Native tests of a plugin: inputs, goldens and a check of its config schema.
//!
//! Requires the feature `testing`; enable it under `[dev-dependencies]`.

mod goldens;
mod inputs;
mod schema;

pub use goldens::{assignment_goldens, compatibility_goldens, health_goldens, strategy_goldens};
pub use inputs::{
    NOW, check_input, class, context, counts, durations, firmware, health_input, observation,
    operator_act, plan_input, wave,
};
pub use schema::{check_schema, check_schema_refuses};
