//! What the sandbox needs of a version of the contract, and what all versions have in common.
//!
//! A version is a module of its own that implements [`Version`]: its names, and the types of each call ([`CallInput`],
//! [`MetaOutput`]), with their conversion from and to the domain's types. A later version takes over the types that have
//! not changed. Everything else here works by these traits. The rest of the sandbox knows [`Contract`] only, which hides
//! the types.

mod adapter;
mod call_input;
mod case;
mod difference;
mod meta_calls;
mod meta_output;
mod question;
mod recorded;
mod typed_call;
mod version;
mod wants_input;
mod world_calls;

pub(crate) use call_input::CallInput;
pub use case::{GoldenOutput, GoldenRun};
pub(crate) use meta_output::MetaOutput;
pub(crate) use question::Config;
pub(crate) use version::Version;

use serde_json::value::RawValue;
use tidegate_core::plugin::{
    AssignInput, CheckInput, Compatibility, Decision, Description, FieldError, HealthAnswer,
    HealthInput, Interests, Observation, Plan, PlanInput,
};
use tidegate_engine::ports::{Call, CallFailure, CallLimits, CallRecord};

use crate::{
    linked_component::LinkedComponent,
    names::{CallName, ContractNames},
    record::InvalidRecord,
    trial::Trial,
};

/// A version of the contract, without its types. The calls with limits are recorded; they are made under these limits or,
/// without them, under today's.
pub(crate) trait Contract: Send + Sync {
    fn names(&self) -> &'static ContractNames;

    /// The types of a call.
    fn types(&self, call: CallName) -> &'static dyn CallTypes;

    fn describe(&self, component: &LinkedComponent) -> Call<Description>;

    fn validate(&self, component: &LinkedComponent, config: &str) -> Call<Vec<FieldError>>;

    fn wants(
        &self,
        component: &LinkedComponent,
        config: Config,
        limits: Option<CallLimits>,
    ) -> Call<Interests>;

    fn plan(
        &self,
        component: &LinkedComponent,
        input: PlanInput,
        limits: Option<CallLimits>,
    ) -> Call<Plan>;

    fn assign(
        &self,
        component: &LinkedComponent,
        input: AssignInput,
        limits: Option<CallLimits>,
    ) -> Call<Vec<u32>>;

    fn decide(
        &self,
        component: &LinkedComponent,
        input: Observation,
        limits: Option<CallLimits>,
    ) -> Call<Decision>;

    fn check(
        &self,
        component: &LinkedComponent,
        input: CheckInput,
        limits: Option<CallLimits>,
    ) -> Call<Vec<Compatibility>>;

    fn evaluate(
        &self,
        component: &LinkedComponent,
        input: HealthInput,
        limits: Option<CallLimits>,
    ) -> Call<HealthAnswer>;
}

/// The types of a call in one version of the contract.
pub(crate) trait CallTypes: Sync {
    /// Checks the types of the component's function.
    fn check(&self, component: &LinkedComponent) -> Result<(), CallFailure>;

    /// Reads a golden.
    fn golden(&self, text: &str) -> serde_json::Result<Box<dyn AnyCase>>;

    /// A golden with the input with which uploads are tried.
    fn trial(&self, contract: Option<&str>, trial: &Trial<'_>) -> Box<dyn AnyCase>;

    /// Reads a recorded input, JSON text.
    fn recorded(&self, json: &str) -> Result<Box<dyn RecordedQuestion>, InvalidRecord>;
}

/// A golden of any call.
pub(crate) trait AnyCase: Send + Sync {
    fn call(&self) -> CallName;

    /// The golden, in the form in which goldens are written.
    fn to_json(&self) -> String;

    /// Makes the call, and compares its output with the expected one.
    fn run(&self, component: &LinkedComponent) -> GoldenRun;

    /// The recorded form of the input, if the call is recorded.
    fn record(&self) -> Option<Vec<u8>>;
}

/// A recorded input of any call, in the types of the version for which it was recorded.
pub(crate) trait RecordedQuestion {
    /// Repeats the call under the limits of the record or, without them, under today's; adds limits and output to it.
    ///
    /// A component of another version of the contract is asked by the domain's types. Its answer is recorded in the
    /// types of the record, so that it can be compared with the recorded one.
    fn repeat(
        &self,
        contract: &dyn Contract,
        component: &LinkedComponent,
        record: CallRecord,
    ) -> Call<()>;

    /// The input as a golden that expects this output, which is of the same version.
    fn golden(&self, expect: Option<&RawValue>) -> serde_json::Result<String>;
}
