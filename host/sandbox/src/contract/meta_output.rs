//! The outputs of the functions that every plugin has: `describe`, `validate` and `wants`. The first two are not recorded.

use serde::{Serialize, de::DeserializeOwned};
use tidegate_engine::ports::{Call, CallFailure};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

use crate::{
    failure::{plugin_error, truncated_reason},
    limits::Budget,
    linked_component::LinkedComponent,
    names::CallName,
};

/// The output of such a function in the types of one version of the contract.
pub(crate) trait MetaOutput:
    ComponentType + Lift + Serialize + DeserializeOwned + PartialEq + Send + Sync + 'static
{
    /// The output in the domain's types.
    type Answer;

    /// Checks the bounds of the output.
    fn check(&self) -> Result<(), String>;

    /// Converts the output, which is checked.
    fn accept(self) -> Result<Self::Answer, String>;
}

/// Runs a function, and checks its output. The inner error is the plugin's own.
pub(super) fn run<O: MetaOutput, P>(
    component: &LinkedComponent,
    call: CallName,
    params: P,
    budget: &Budget,
) -> Call<Result<O, String>>
where
    P: ComponentNamedList + Lower,
{
    let call: Call<(Result<O, String>,)> = component.run(call, params, budget);
    call.and_then(|(output,)| {
        if let Ok(output) = &output {
            output.check().map_err(CallFailure::InvalidAnswer)?;
        }
        Ok(output.map_err(truncated_reason))
    })
}

/// Calls a component.
pub(super) fn ask<O: MetaOutput, P>(
    component: &LinkedComponent,
    call: CallName,
    params: P,
) -> Call<O::Answer>
where
    P: ComponentNamedList + Lower,
{
    let budget = component.limits().call_budget();
    run(component, call, params, &budget)
        .and_then(own_error_is_failure)
        .and_then(|output: O| output.accept().map_err(CallFailure::InvalidAnswer))
}

/// The plugin's own error as a failure of the call.
pub(super) fn own_error_is_failure<T>(output: Result<T, String>) -> Result<T, CallFailure> {
    output.map_err(|text| plugin_error(&text))
}
