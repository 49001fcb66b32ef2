//! Native tests of a plugin: questions to ask it, goldens, and a check of its schema.
//!
//! Behind the feature `testing`, which belongs under `[dev-dependencies]`.

mod goldens;
mod inputs;
mod schema;

pub use goldens::{compatibility_goldens, health_goldens, strategy_goldens};
pub use inputs::{
    NOW, check_input, class, context, counts, firmware, health_input, observation, plan_input, wave,
};
pub use schema::{check_schema, check_schema_refuses};
