//! `describe` and `validate`, which are not recorded, as goldens have them.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};
use tidegate_engine::ports::{Call, CallFailure};

use super::{
    Version,
    meta_output::{own_error_is_failure, run},
    typed_call::TypedCall,
};
use crate::{limits::Budget, linked_component::LinkedComponent, names::CallName, trial::Trial};

/// `describe` has no input.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct DescribeInput<V>(PhantomData<V>);

/// A config, JSON text.
#[derive(Serialize, Deserialize)]
#[serde(transparent, bound = "")]
pub(super) struct ValidateInput<V>(String, PhantomData<V>);

/// The plugin's own error is a failure, as in the SDK, where `describe` returns none.
impl<V: Version> TypedCall for DescribeInput<V> {
    type Output = V::Description;

    fn call() -> CallName {
        CallName::Describe
    }

    fn trial(_: &Trial<'_>) -> Self {
        Self(PhantomData)
    }

    fn run(&self, component: &LinkedComponent, budget: &Budget) -> Call<Self::Output> {
        run(component, Self::call(), (), budget).and_then(own_error_is_failure)
    }

    fn check(component: &LinkedComponent) -> Result<(), CallFailure> {
        component.check_types::<(), (Result<V::Description, String>,)>(Self::call())
    }
}

/// The plugin's own error is a failure, as in the SDK, where `validate` returns none.
impl<V: Version> TypedCall for ValidateInput<V> {
    type Output = V::FieldErrors;

    fn call() -> CallName {
        CallName::Validate
    }

    fn trial(trial: &Trial<'_>) -> Self {
        Self(trial.config(), PhantomData)
    }

    fn run(&self, component: &LinkedComponent, budget: &Budget) -> Call<Self::Output> {
        let params = (self.0.as_str(),);
        run(component, Self::call(), params, budget).and_then(own_error_is_failure)
    }

    fn check(component: &LinkedComponent) -> Result<(), CallFailure> {
        component.check_types::<(&str,), (Result<V::FieldErrors, String>,)>(Self::call())
    }
}
