//! Calls by the types of one version of the contract.

use serde::{Serialize, de::DeserializeOwned};
use tidegate_core::Named as _;
use tidegate_engine::ports::{Call, CallFailure};

use super::RecordedQuestion;
use crate::{
    limits::{Budget, SandboxLimits},
    linked_component::LinkedComponent,
    names::CallName,
    record::InvalidRecord,
    trial::Trial,
};

/// The input of a call, in the form of goldens. Its type determines the call.
pub(super) trait TypedCall: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The output, in the form of goldens.
    type Output: Serialize + DeserializeOwned + PartialEq + Send + Sync + 'static;

    /// The call.
    fn call() -> CallName;

    /// The input with which uploads are tried.
    fn trial(trial: &Trial<'_>) -> Self;

    /// The limits of the call.
    fn budget(&self, limits: &SandboxLimits) -> Budget {
        limits.call_budget()
    }

    /// Makes the call. An output that the server would refuse is a failure.
    fn run(&self, component: &LinkedComponent, budget: &Budget) -> Call<Self::Output>;

    /// Why a campaign's server would refuse an output that [`Self::run`] returned.
    fn violation(&self, _output: &Self::Output) -> Option<String> {
        None
    }

    /// Checks the types of the component's function.
    fn check(component: &LinkedComponent) -> Result<(), CallFailure>;

    /// The recorded form of the input, if the call is recorded.
    fn record(&self, _contract: Option<&str>) -> Option<Vec<u8>> {
        None
    }

    /// Reads a recorded input, JSON text.
    fn recorded(_json: &str) -> Result<Box<dyn RecordedQuestion>, InvalidRecord> {
        Err(InvalidRecord::Call(Self::call().as_str().to_owned()))
    }
}
