//! Contract version 1.0: its names, its types, and their conversion from and to the domain's types.
//!
//! It must not change incompatibly: plugins are built against it. A later version gets a module of its own.

mod alike;
mod answer;
pub(crate) mod bindings;
mod call;
mod input;
mod meta;
mod output;
mod recorded;
mod shape;

use bindings::exports::tidegate::plugin::meta::{Description, FieldError, Interests};
#[cfg(feature = "draft-contract")]
pub(crate) use bindings::exports::tidegate::plugin::rollout::{Decision, Release};
pub(crate) use bindings::exports::tidegate::plugin::{
    assignment::AssignInput,
    compatibility::CheckInput,
    health::HealthInput,
    rollout::{Observation, PlanInput},
};
#[cfg(feature = "draft-contract")]
pub(crate) use call::accept_decision;

use crate::{contract::Version, names::ContractNames};

/// Version 1.0.
pub(crate) struct Since1_0;

impl Version for Since1_0 {
    const NAMES: &'static ContractNames = &ContractNames {
        // A plugin that was built for an earlier draft has the same names, and other types.
        version: "1.0.0-draft.2",
        minor: "1.0",
        in_records: None,
        log: "tidegate:plugin/log@1.0.0",
        types: &["tidegate:plugin/types@1.0.0"],
        meta: "tidegate:plugin/meta@1.0.0",
        assignment: "tidegate:plugin/assignment@1.0.0",
        rollout: "tidegate:plugin/rollout@1.0.0",
        compatibility: "tidegate:plugin/compatibility@1.0.0",
        health: "tidegate:plugin/health@1.0.0",
    };

    type Description = Description;
    type FieldErrors = Vec<FieldError>;
    type Interests = Interests;
    type Plan = PlanInput;
    type Assign = AssignInput;
    type Decide = Observation;
    type Check = CheckInput;
    type Evaluate = HealthInput;
}

#[cfg(test)]
mod tests {
    use tidegate_core::id::Digest;

    const CONTRACT: &[u8] = include_bytes!("../../../../wit/since-1.0/package.wit");

    /// Plugins and journals depend on every byte that is no comment. After a deliberate change: count the draft in
    /// `version` up, so that plugins of the draft before are recognised, and write the digest that the failure shows.
    #[test]
    fn the_contract_changes_deliberately() {
        let digest = Digest::of(CONTRACT).to_string();
        assert_eq!(
            digest,
            "sha256:a817fe40016c9d1477b66fe1248b5ca7edc2af76149a98d83e54ac098cf7aa77"
        );
    }
}
