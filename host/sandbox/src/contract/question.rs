//! The inputs of calls in the domain's types.

use tidegate_core::plugin::{
    AssignInput, CheckInput, Compatibility, Decision, HealthAnswer, HealthInput, Interests,
    Observation, Plan, PlanInput,
};
use tidegate_engine::ports::{Call, CallLimits};

use super::Contract;
use crate::{linked_component::LinkedComponent, names::CallName, trial};

/// The input of a call. Its type determines the call.
pub(crate) trait Question: Clone {
    const CALL: CallName;
    type Answer;

    /// The input with which uploads are tried.
    fn trial(config: &str) -> Self;

    /// Calls a component of this version of the contract.
    fn ask(
        self,
        contract: &dyn Contract,
        component: &LinkedComponent,
        limits: Option<CallLimits>,
    ) -> Call<Self::Answer>;
}

/// A config, JSON text: the input of `wants`.
#[derive(Debug, Clone)]
pub(crate) struct Config(pub(crate) String);

impl Question for Config {
    const CALL: CallName = CallName::Wants;
    type Answer = Interests;

    fn trial(config: &str) -> Self {
        Self(config.to_owned())
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
    ($input:ty, $call:ident, $answer:ty, $ask:ident, $trial:ident) => {
        impl Question for $input {
            const CALL: CallName = CallName::$call;
            type Answer = $answer;

            fn trial(config: &str) -> Self {
                trial::$trial(config)
            }

            fn ask(
                self,
                contract: &dyn Contract,
                component: &LinkedComponent,
                limits: Option<CallLimits>,
            ) -> Call<$answer> {
                contract.$ask(component, self, limits)
            }
        }
    };
}

question!(PlanInput, Plan, Plan, plan, plan);
question!(AssignInput, Assign, Vec<u32>, assign, assign);
question!(Observation, Decide, Decision, decide, observation);
question!(CheckInput, Check, Vec<Compatibility>, check, check);
question!(HealthInput, Evaluate, HealthAnswer, evaluate, health);
