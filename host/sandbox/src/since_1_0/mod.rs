//! Contract version 1.0: its names, its types, and their conversion from and to the domain's types.
//!
//! A later version gets a module of its own. This one must not change incompatibly: plugins are built against it.

mod bindings;
mod call;
mod call_name;
mod columns;
mod input;
mod output;
mod shape;

pub(crate) use bindings::exports::tidegate::plugin::{
    compatibility::CheckInput,
    health::HealthInput,
    meta,
    rollout::{AssignInput, Observation, PlanInput},
};
pub(crate) use call::CallInput;
pub(crate) use call_name::CallName;
pub(crate) use shape::{check_description, check_field_errors};

use tidegate_core::plugin::PluginKind;

/// The version that an inspection reports.
pub(crate) const VERSION: &str = "1.0.0";
/// The only import with functions.
pub(crate) const LOG: &str = "tidegate:plugin/log@1.0.0";
/// An import with types only.
pub(crate) const TYPES: &str = "tidegate:plugin/types@1.0.0";
/// The export of every world.
pub(crate) const META: &str = "tidegate:plugin/meta@1.0.0";

/// The export that identifies a world.
pub(crate) fn interface(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Strategy => "tidegate:plugin/rollout@1.0.0",
        PluginKind::Compatibility => "tidegate:plugin/compatibility@1.0.0",
        PluginKind::Health => "tidegate:plugin/health@1.0.0",
    }
}
