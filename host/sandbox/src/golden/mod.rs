//! Goldens: inputs of calls with the outputs that are expected of a plugin, and how they are run.
//!
//! A golden is a file `{"call", "input", "expect"}`: the name of the call, its input and its output in the serde form of
//! the contract's types. `expect` may be missing. The SDK reads and writes the same files for native tests.

mod case;
mod difference;
mod folder;
mod input;
mod recorded;

pub use case::{GoldenOutput, GoldenRun};
pub use folder::golden_files;
pub(crate) use recorded::recorded_golden;

use serde::Deserialize;
use strum::{EnumString, IntoStaticStr, VariantNames};

use crate::{
    plugin::Plugin,
    since_1_0::{AssignInput, CallName, CheckInput, HealthInput, Observation, PlanInput},
    trial,
};
use case::{AnyCase, Case};
use input::{DescribeInput, GoldenInput, ValidateInput, WantsInput};

/// The calls of all worlds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum GoldenCall {
    /// What the plugin reports of itself. The input is `null`.
    Describe,
    /// Rules of a config beyond its schema.
    Validate,
    /// What the plugin has to be shown.
    Wants,
    /// A strategy's waves.
    Plan,
    /// A strategy's devices of each wave.
    Assign,
    /// A strategy's decision.
    Decide,
    /// A compatibility policy's verdicts.
    Check,
    /// A health policy's verdict.
    Evaluate,
}

impl From<CallName> for GoldenCall {
    fn from(call: CallName) -> Self {
        match call {
            CallName::Plan => Self::Plan,
            CallName::Assign => Self::Assign,
            CallName::Decide => Self::Decide,
            CallName::Check => Self::Check,
            CallName::Evaluate => Self::Evaluate,
        }
    }
}

/// Why a text is not a golden.
#[derive(Debug, thiserror::Error)]
pub enum InvalidGolden {
    /// It is not JSON, or not of the shape of its call. The error has the line and the column.
    #[error("not a golden")]
    Json(#[from] serde_json::Error),
    /// The contract has no such call.
    #[error("`call` is `{0}`; the calls are {calls}", calls = GoldenCall::VARIANTS.join(", "))]
    UnknownCall(String),
}

/// A call with its input, and with the output that is expected of it unless that was left out.
pub struct Golden(Box<dyn AnyCase>);

impl Golden {
    /// Reads a golden.
    pub fn parse(text: &str) -> Result<Self, InvalidGolden> {
        #[derive(Deserialize)]
        struct Call {
            call: String,
        }
        fn case<I: GoldenInput>(text: &str) -> Result<Golden, InvalidGolden> {
            Ok(Golden(Box::new(
                serde_json::from_str::<Case<I, I::Output>>(text)?,
            )))
        }
        let Call { call } = serde_json::from_str(text)?;
        match call.parse() {
            Ok(GoldenCall::Describe) => case::<DescribeInput>(text),
            Ok(GoldenCall::Validate) => case::<ValidateInput>(text),
            Ok(GoldenCall::Wants) => case::<WantsInput>(text),
            Ok(GoldenCall::Plan) => case::<PlanInput>(text),
            Ok(GoldenCall::Assign) => case::<AssignInput>(text),
            Ok(GoldenCall::Decide) => case::<Observation>(text),
            Ok(GoldenCall::Check) => case::<CheckInput>(text),
            Ok(GoldenCall::Evaluate) => case::<HealthInput>(text),
            Err(_) => Err(InvalidGolden::UnknownCall(call)),
        }
    }

    /// The input with which uploads are tried: a small invented campaign with this config, JSON text.
    pub fn trial(call: GoldenCall, config: &str) -> Self {
        fn case<I: GoldenInput>(input: I) -> Golden {
            Golden(Box::new(Case::new(input)))
        }
        match call {
            GoldenCall::Describe => case(DescribeInput),
            GoldenCall::Validate => case(ValidateInput(config.to_owned())),
            GoldenCall::Wants => case(WantsInput(config.to_owned())),
            GoldenCall::Plan => case(PlanInput::from(trial::plan(config))),
            GoldenCall::Assign => case(AssignInput::from(trial::assign(config))),
            GoldenCall::Decide => case(Observation::from(trial::observation(config))),
            GoldenCall::Check => case(CheckInput::from(trial::check(config))),
            GoldenCall::Evaluate => case(HealthInput::from(trial::health(config))),
        }
    }

    /// The name of the call.
    pub fn call(&self) -> &'static str {
        self.0.call()
    }

    /// The golden as JSON, in the form in which goldens are written.
    pub fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// Makes the call, and compares its output with the expected one. Blocks the thread.
    pub fn run(&self, plugin: &Plugin) -> GoldenRun {
        self.0.run(plugin)
    }

    /// The input as a campaign's journal records it, for [`Plugin::replay`]. `None`: the journal has no such calls.
    pub fn record(&self) -> Option<Vec<u8>> {
        self.0.record()
    }
}

impl std::fmt::Debug for Golden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Golden").field(&self.to_json()).finish()
    }
}

impl Plugin {
    /// The calls that the plugin exports.
    pub fn calls(&self) -> Vec<GoldenCall> {
        let of_all_worlds = [
            GoldenCall::Describe,
            GoldenCall::Validate,
            GoldenCall::Wants,
        ];
        let of_its_world = self.exported_calls().map(GoldenCall::from);
        of_all_worlds.into_iter().chain(of_its_world).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_goldens() -> Result<(), InvalidGolden> {
        for call in GoldenCall::VARIANTS {
            let sample = Golden::trial(call.parse().expect("a call"), r#"{"a": 1}"#).to_json();
            let read = Golden::parse(&sample)?;
            assert_eq!(read.call(), *call);
            assert_eq!(read.to_json(), sample);
            assert!(!sample.contains("\"expect\""), "{sample}");
        }
        Ok(())
    }

    #[test]
    fn errors_name_the_place() {
        for (text, part) in [
            (
                "",
                "not a golden: EOF while parsing a value at line 1 column 0",
            ),
            ("{}", "missing field `call`"),
            (
                r#"{"call": "guess"}"#,
                "`call` is `guess`; the calls are describe, validate, wants, plan,",
            ),
            (r#"{"call": "validate"}"#, "missing field `input`"),
            (
                "{\"call\": \"validate\",\n\"input\": {}}",
                "expected a string at line 2 column 9",
            ),
            (
                "{\"call\": \"validate\", \"input\": \"{}\",\n\"expects\": []}",
                "unknown field `expects`, expected one of `call`, `input`, `expect` at line 2 column 9",
            ),
            (
                "{\"call\": \"validate\", \"input\": \"{}\",\n\"expect\": [{\"path\": 1}]}",
                "expected a string at line 2 column 21",
            ),
        ] {
            let error = Golden::parse(text).expect_err(text);
            let error = tidegate_engine::chain(&error).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
