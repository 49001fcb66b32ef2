//! Goldens: inputs of calls with the outputs that are expected of a plugin, and how they are run.
//!
//! A golden is a file `{"call", "input", "expect"}`: the name of the call, its input and its output in the serde form of
//! the contract's types. `expect` may be missing. Goldens of a later version than 1.0 begin with its name, `contract`. The
//! SDK reads and writes the same files for native tests.

mod folder;

pub use folder::golden_files;

use serde::Deserialize;
use strum::VariantNames;

use crate::{
    contract::{AnyCase, GoldenRun},
    names::CallName,
    plugin::Plugin,
    record::{self, InvalidRecord, RawRecordedOutput},
    trial::Trial,
    versions::{Recorded, Versions},
};

/// Why a text is not a golden.
#[derive(Debug, thiserror::Error)]
pub enum InvalidGolden {
    /// It is not JSON, or not of the shape of its call. The error has the line and the column.
    #[error("not a golden")]
    Json(#[from] serde_json::Error),
    /// The contract has no such call.
    #[error("`call` is `{0}`; the calls are {calls}", calls = CallName::VARIANTS.join(", "))]
    UnknownCall(String),
    /// The server does not speak the version of the contract.
    #[error("`contract` is `{0}`; the versions are {known}", known = Versions::ALL.list())]
    UnknownVersion(String),
}

/// A call with its input, and with the output that is expected of it unless that was left out.
pub struct Golden(Box<dyn AnyCase>);

impl Golden {
    /// Reads a golden.
    pub fn parse(text: &str) -> Result<Self, InvalidGolden> {
        #[derive(Deserialize)]
        struct Head {
            contract: Option<String>,
            call: String,
        }
        let Head { contract, call } = serde_json::from_str(text)?;
        let Some(version) = Versions::ALL.in_records(contract.as_deref()) else {
            return Err(InvalidGolden::UnknownVersion(contract.unwrap_or_default()));
        };
        let Ok(call) = call.parse() else {
            return Err(InvalidGolden::UnknownCall(call));
        };
        Ok(Self(version.types(call).golden(text)?))
    }

    /// The input with which uploads are tried: a small invented campaign with this config, JSON text. `decide` and `assign`
    /// get the waves that the strategy plans for it, so it is asked for its plan first. Blocks the thread.
    pub fn trial(plugin: &Plugin, call: CallName, config: &str) -> Self {
        let contract = plugin.contract();
        let trial = Trial::new(config);
        let plan = matches!(call, CallName::Decide | CallName::Assign)
            .then(|| plugin.plan(trial.plan()).outcome.ok())
            .flatten();
        let trial = trial.with_plan(plan.as_ref());
        let types = contract.types(call);
        Self(types.trial(contract.names().in_records, &trial))
    }

    /// The call.
    pub fn call(&self) -> CallName {
        self.0.call()
    }

    /// The golden as JSON, in the form in which goldens are written.
    pub fn to_json(&self) -> String {
        self.0.to_json()
    }

    /// Makes the call, and compares its output with the expected one. Blocks the thread.
    pub fn run(&self, plugin: &Plugin) -> GoldenRun {
        self.0.run(plugin.component())
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

/// Converts a recorded input, and the output that is expected of it, to a golden. The record has the contract's types in
/// the same serde form as goldens; that the input has them is checked here.
pub(crate) fn recorded_golden(
    input: &[u8],
    output: Option<&[u8]>,
) -> Result<String, InvalidRecord> {
    let recorded = Recorded::read(input)?;
    let output = output.map(record::decompress).transpose()?;
    let output = output.as_deref().map(serde_json::from_str);
    let output: Option<RawRecordedOutput<'_>> = output.transpose()?;
    let expect = output.map(|output| output.answer);
    Ok(recorded.question.golden(expect)?)
}

#[cfg(test)]
mod tests {
    use strum::VariantArray;

    use super::*;

    #[test]
    fn samples_are_goldens() -> Result<(), InvalidGolden> {
        for version in Versions::ALL.iter() {
            for call in <CallName as VariantArray>::VARIANTS {
                let contract = version.names().in_records;
                let sample = version
                    .types(*call)
                    .trial(contract, &Trial::new(r#"{"a": 1}"#));
                let sample = sample.to_json();
                let read = Golden::parse(&sample)?;
                assert_eq!(read.call(), *call);
                assert_eq!(read.to_json(), sample);
                assert!(!sample.contains("\"expect\""), "{sample}");
                assert_eq!(sample.contains("\"contract\""), contract.is_some());
            }
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
            (
                r#"{"contract": "0.9", "call": "plan"}"#,
                "`contract` is `0.9`; the versions are 1.0",
            ),
            (r#"{"call": "validate"}"#, "missing field `input`"),
            (
                "{\"call\": \"validate\",\n\"input\": {}}",
                "expected a string at line 2 column 9",
            ),
            (
                "{\"call\": \"validate\", \"input\": \"{}\",\n\"expects\": []}",
                "unknown field `expects`, expected one of `contract`, `call`, `input`, `expect` at line 2 column 9",
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
