//! The types of a version of the contract.

use tidegate_core::plugin::{
    AssignInput, CheckInput, Description, FieldError, HealthInput, Interests, Observation,
    PlanInput,
};

use super::{CallInput, MetaOutput};
use crate::names::ContractNames;

/// A version of the contract: its names and its types.
pub(crate) trait Version: Send + Sync + 'static {
    const NAMES: &'static ContractNames;

    type Description: MetaOutput<Answer = Description>;
    type FieldErrors: MetaOutput<Answer = Vec<FieldError>>;
    type Interests: MetaOutput<Answer = Interests> + From<Interests> + Clone;
    type Plan: CallInput<Question = PlanInput>;
    type Assign: CallInput<Question = AssignInput>;
    type Decide: CallInput<Question = Observation>;
    type Check: CallInput<Question = CheckInput>;
    type Evaluate: CallInput<Question = HealthInput>;
}
