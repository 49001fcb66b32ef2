//! Contract version 1.0: its names, its types, and their conversion from and to the domain's types.
//!
//! A later version gets a module of its own. This one must not change incompatibly: plugins are built against it.

mod bindings;
mod call;
mod call_name;
mod input;
mod output;
mod shape;

pub(crate) use bindings::exports::tidegate::plugin::{
    assignment::AssignInput,
    compatibility::CheckInput,
    health::HealthInput,
    meta,
    rollout::{Observation, PlanInput},
};
pub(crate) use call::CallInput;
pub(crate) use call_name::CallName;
pub(crate) use shape::{check_description, check_field_errors, check_wants};

use tidegate_core::plugin::PluginKind;

/// The version that an inspection reports. A plugin that was built for an earlier draft has the same names, and other
/// types.
pub(crate) const VERSION: &str = "1.0.0-draft.2";
/// The version in the names of interfaces, up to the patch level: a plugin may have any.
pub(crate) const MINOR: &str = "1.0";
/// The package of the contract, in the names of interfaces.
pub(crate) const PACKAGE: &str = "tidegate:plugin/";
/// The only import with functions.
pub(crate) const LOG: &str = "tidegate:plugin/log@1.0.0";
/// An import with types only.
pub(crate) const TYPES: &str = "tidegate:plugin/types@1.0.0";
/// The export of every world.
pub(crate) const META: &str = "tidegate:plugin/meta@1.0.0";

/// The export of strategies that assign devices to waves.
pub(crate) const ASSIGNMENT: &str = "tidegate:plugin/assignment@1.0.0";

/// The export that identifies a world.
pub(crate) fn interface(kind: PluginKind) -> &'static str {
    match kind {
        PluginKind::Strategy => "tidegate:plugin/rollout@1.0.0",
        PluginKind::Compatibility => "tidegate:plugin/compatibility@1.0.0",
        PluginKind::Health => "tidegate:plugin/health@1.0.0",
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::id::Digest;

    const CONTRACT: &[u8] = include_bytes!("../../../../wit/since-1.0/package.wit");

    /// Plugins and journals depend on every byte that is no comment. After a deliberate change: count [`super::VERSION`]
    /// up, so that plugins of the draft before are recognised, and write the digest that the failure shows.
    #[test]
    fn the_contract_changes_deliberately() {
        let digest = Digest::of(CONTRACT).to_string();
        assert_eq!(
            digest,
            "sha256:2164d9126becf7c607110d9d4bdaa6dfb776e36f4b47111c31faed5e23afdc3a"
        );
    }
}
