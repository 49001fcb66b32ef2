//! The inputs of calls in the domain's types.

use tidegate_core::{
    checker::{Violation, check_decision, check_plan},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, HealthAnswer, HealthInput, Interests,
        Observation, Plan, PlanInput,
    },
};
use tidegate_engine::ports::{Call, CallLimits};

use super::Contract;
use crate::{linked_component::LinkedComponent, names::CallName, trial::Trial};

/// The input of a call. Its type determines the call.
pub(crate) trait Question: Clone {
    const CALL: CallName;
    type Answer;

    /// The input with which uploads are tried.
    fn trial(trial: &Trial<'_>) -> Self;

    /// Calls a component of this version of the contract.
    fn ask(
        self,
        contract: &dyn Contract,
        component: &LinkedComponent,
        limits: Option<CallLimits>,
    ) -> Call<Self::Answer>;

    /// Checks an answer by the rules of the campaign that the input shows. `assign` is checked against a plan, which its
    /// input has not.
    fn check(&self, _answer: &Self::Answer) -> Result<(), Violation> {
        Ok(())
    }
}

/// A config, JSON text: the input of `wants`.
#[derive(Debug, Clone)]
pub(crate) struct Config(pub(crate) String);

impl Question for Config {
    const CALL: CallName = CallName::Wants;
    type Answer = Interests;

    fn trial(trial: &Trial<'_>) -> Self {
        Self(trial.config())
    }

    fn ask(
        self,
        contract: &dyn Contract,
        component: &LinkedComponent,
        limits: Option<CallLimits>,
    ) -> Call<Interests> {
        contract.wants(component, self, limits)
    }
}

/// Implements [`Question`] for the input of a call by the functions of its name.
macro_rules! question {
    ($input:ty, $call:ident, $answer:ty, $ask:ident, $trial:ident $(, $checked:ident)?) => {
        impl Question for $input {
            const CALL: CallName = CallName::$call;
            type Answer = $answer;

            fn trial(trial: &Trial<'_>) -> Self {
                trial.$trial()
            }

            fn ask(
                self,
                contract: &dyn Contract,
                component: &LinkedComponent,
                limits: Option<CallLimits>,
            ) -> Call<$answer> {
                contract.$ask(component, self, limits)
            }

            $(
                fn check(&self, answer: &$answer) -> Result<(), Violation> {
                    $checked(self, answer)
                }
            )?
        }
    };
}

question!(PlanInput, Plan, Plan, plan, plan, checked_plan);
question!(AssignInput, Assign, Vec<u32>, assign, assign);
question!(
    Observation,
    Decide,
    Decision,
    decide,
    observation,
    checked_decision
);
question!(CheckInput, Check, Vec<Compatibility>, check, check);
question!(HealthInput, Evaluate, HealthAnswer, evaluate, health);

fn checked_plan(_: &PlanInput, plan: &Plan) -> Result<(), Violation> {
    check_plan(plan)
}

/// An observation does not say whether the plan is parallel. If it is, a decision has one rule less.
fn checked_decision(observation: &Observation, decision: &Decision) -> Result<(), Violation> {
    let parallel = true;
    check_decision(observation, parallel, decision).map(drop)
}
