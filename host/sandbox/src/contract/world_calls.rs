//! The calls that are recorded, as goldens have them.

use tidegate_engine::ports::{Call, CallFailure};

use super::{
    CallInput, RecordedQuestion,
    call_input::{call_of, record_input, run},
    question::Question as _,
    recorded::TypedQuestion,
    typed_call::TypedCall,
};
use crate::{
    limits::{Budget, SandboxLimits},
    linked_component::LinkedComponent,
    names::CallName,
    record::{self, InvalidRecord},
    trial::Trial,
};

/// The plugin's own error is an output: a strategy may be unable to answer an input.
impl<I: CallInput> TypedCall for I {
    type Output = Result<I::Output, String>;

    fn call() -> CallName {
        call_of::<I>()
    }

    fn trial(trial: &Trial<'_>) -> Self {
        I::Question::trial(trial).into()
    }

    fn budget(&self, limits: &SandboxLimits) -> Budget {
        CallInput::budget(self, limits)
    }

    fn run(&self, component: &LinkedComponent, budget: &Budget) -> Call<Self::Output> {
        run(component, self, budget).and_then(|output| {
            if let Ok(output) = &output {
                self.accept(output.clone())
                    .map_err(CallFailure::InvalidAnswer)?;
            }
            Ok(output)
        })
    }

    fn violation(&self, output: &Self::Output) -> Option<String> {
        let answer = self.accept(output.as_ref().ok()?.clone()).ok()?;
        let checked = self.question().ok()?.check(&answer);
        checked.err().map(|violation| violation.to_string())
    }

    fn check(component: &LinkedComponent) -> Result<(), CallFailure> {
        component.check_types::<(&I::Param,), (Result<I::Output, String>,)>(call_of::<I>())
    }

    fn record(&self, contract: Option<&str>) -> Option<Vec<u8>> {
        let json = record_input(self, contract).ok()?;
        Some(record::compress(&json).to_vec())
    }

    fn recorded(json: &str) -> Result<Box<dyn RecordedQuestion>, InvalidRecord> {
        Ok(Box::new(TypedQuestion::<I>::parse(json)?))
    }
}
