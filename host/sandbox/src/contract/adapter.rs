//! Every version of the contract, and its calls, without their types.

use std::marker::PhantomData;

use tidegate_core::plugin::{
    AssignInput, CheckInput, Compatibility, Decision, Description, FieldError, HealthAnswer,
    HealthInput, Interests, Observation, Plan, PlanInput,
};
use tidegate_engine::ports::{Call, CallFailure, CallLimits};

use super::{
    AnyCase, CallTypes, Config, Contract, RecordedQuestion, Version,
    call_input::ask,
    case::Case,
    meta_calls::{DescribeInput, ValidateInput},
    meta_output,
    typed_call::TypedCall,
    wants_input::WantsInput,
};
use crate::{
    linked_component::LinkedComponent,
    names::{CallName, ContractNames},
    record::InvalidRecord,
    trial::Trial,
};

impl<V: Version> Contract for V {
    fn names(&self) -> &'static ContractNames {
        V::NAMES
    }

    fn types(&self, call: CallName) -> &'static dyn CallTypes {
        match call {
            CallName::Describe => &TypesOf::<DescribeInput<V>>(PhantomData),
            CallName::Validate => &TypesOf::<ValidateInput<V>>(PhantomData),
            CallName::Wants => &TypesOf::<WantsInput<V>>(PhantomData),
            CallName::Plan => &TypesOf::<V::Plan>(PhantomData),
            CallName::Assign => &TypesOf::<V::Assign>(PhantomData),
            CallName::Decide => &TypesOf::<V::Decide>(PhantomData),
            CallName::Check => &TypesOf::<V::Check>(PhantomData),
            CallName::Evaluate => &TypesOf::<V::Evaluate>(PhantomData),
        }
    }

    fn describe(&self, component: &LinkedComponent) -> Call<Description> {
        meta_output::ask::<V::Description, _>(component, CallName::Describe, ())
    }

    fn validate(&self, component: &LinkedComponent, config: &str) -> Call<Vec<FieldError>> {
        meta_output::ask::<V::FieldErrors, _>(component, CallName::Validate, (config,))
    }

    fn wants(
        &self,
        component: &LinkedComponent,
        config: Config,
        limits: Option<CallLimits>,
    ) -> Call<Interests> {
        ask(component, &WantsInput::<V>::from(config), limits)
    }

    fn plan(
        &self,
        component: &LinkedComponent,
        input: PlanInput,
        limits: Option<CallLimits>,
    ) -> Call<Plan> {
        ask(component, &V::Plan::from(input), limits)
    }

    fn assign(
        &self,
        component: &LinkedComponent,
        input: AssignInput,
        limits: Option<CallLimits>,
    ) -> Call<Vec<u32>> {
        ask(component, &V::Assign::from(input), limits)
    }

    fn decide(
        &self,
        component: &LinkedComponent,
        input: Observation,
        limits: Option<CallLimits>,
    ) -> Call<Decision> {
        ask(component, &V::Decide::from(input), limits)
    }

    fn check(
        &self,
        component: &LinkedComponent,
        input: CheckInput,
        limits: Option<CallLimits>,
    ) -> Call<Vec<Compatibility>> {
        ask(component, &V::Check::from(input), limits)
    }

    fn evaluate(
        &self,
        component: &LinkedComponent,
        input: HealthInput,
        limits: Option<CallLimits>,
    ) -> Call<HealthAnswer> {
        ask(component, &V::Evaluate::from(input), limits)
    }
}

/// The types of the call of an input.
struct TypesOf<I>(PhantomData<fn() -> I>);

impl<I: TypedCall> CallTypes for TypesOf<I> {
    fn check(&self, component: &LinkedComponent) -> Result<(), CallFailure> {
        I::check(component)
    }

    fn golden(&self, text: &str) -> serde_json::Result<Box<dyn AnyCase>> {
        let case: Case<I, I::Output> = serde_json::from_str(text)?;
        Ok(Box::new(case))
    }

    fn trial(&self, contract: Option<&str>, trial: &Trial<'_>) -> Box<dyn AnyCase> {
        Box::new(Case::<I, I::Output>::new(contract, I::trial(trial)))
    }

    fn recorded(&self, json: &str) -> Result<Box<dyn RecordedQuestion>, InvalidRecord> {
        I::recorded(json)
    }
}
