//! Contract version 1.0: its names, its types, and how they become the domain's.
//!
//! A later version gets a module beside this one; what is here does not change, for plugins are built against it.

mod bindings;
mod call;
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
pub(crate) use call::{CALLS, CallInput, CallName};

use tidegate_core::plugin::PluginKind;

/// The version, as an inspection names it.
pub(crate) const VERSION: &str = "1.0.0";
/// The one import with functions.
pub(crate) const LOG: &str = "tidegate:plugin/log@1.0.0";
/// Types only.
pub(crate) const TYPES: &str = "tidegate:plugin/types@1.0.0";
/// What every world exports.
pub(crate) const META: &str = "tidegate:plugin/meta@1.0.0";

/// What makes a world the one it is.
pub(crate) fn interface(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Strategy => "tidegate:plugin/rollout@1.0.0",
        PluginKind::Compatibility => "tidegate:plugin/compatibility@1.0.0",
        PluginKind::Health => "tidegate:plugin/health@1.0.0",
    }
}
