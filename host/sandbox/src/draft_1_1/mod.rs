//! A draft of contract version 1.1, for tests: only a sandbox that is configured so speaks it.
//!
//! It differs from 1.0 by what `decide` is shown and answers. All other types are those of 1.0.

mod bindings;
mod decide;

use bindings::exports::tidegate::plugin::rollout::Observation;

use crate::{
    contract::Version,
    names::ContractNames,
    since_1_0::{AssignInput, CheckInput, HealthInput, PlanInput, Since1_0},
};

/// The draft of version 1.1.
pub(crate) struct Draft1_1;

impl Version for Draft1_1 {
    const NAMES: &'static ContractNames = &ContractNames {
        version: "1.1.0-draft.1",
        minor: "1.1",
        in_records: Some("1.1"),
        log: "tidegate:plugin/log@1.1.0",
        types: &[
            "tidegate:plugin/types@1.1.0",
            "tidegate:plugin/planning@1.1.0",
        ],
        meta: "tidegate:plugin/meta@1.1.0",
        assignment: "tidegate:plugin/assignment@1.1.0",
        rollout: "tidegate:plugin/rollout@1.1.0",
        compatibility: "tidegate:plugin/compatibility@1.1.0",
        health: "tidegate:plugin/health@1.1.0",
    };

    type Description = <Since1_0 as Version>::Description;
    type FieldErrors = <Since1_0 as Version>::FieldErrors;
    type Interests = <Since1_0 as Version>::Interests;
    type Plan = PlanInput;
    type Assign = AssignInput;
    type Decide = Observation;
    type Check = CheckInput;
    type Evaluate = HealthInput;
}
