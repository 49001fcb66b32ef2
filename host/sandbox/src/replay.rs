//! Asking recorded questions again, and recording questions from their JSON.

use tidegate_core::id::Digest;
use tidegate_engine::ports::{Call, CallFailure, Record};

use crate::{
    plugin::{Plugin, failed, map},
    record::{self, Asked, RawAsked},
    since_1_0::{AssignInput, CallName, CheckInput, HealthInput, Observation, PlanInput, Question},
};

/// JSON that is no question of the contract's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuestion {
    /// There is no such call.
    #[error("there is no call `{0}`; there are plan, assign, decide, check and evaluate")]
    Call(String),
    /// The input has not the call's shape.
    #[error("the input of `{call}` has not its shape: {error}")]
    Input {
        /// The call.
        call: &'static str,
        /// What is wrong, and where.
        error: String,
    },
}

/// The record of a question, from its input as JSON: fields in `snake_case`, cases in `CamelCase`. `replay` asks it.
pub fn question(call: &str, input: &str) -> Result<Vec<u8>, InvalidQuestion> {
    fn canonical<Q: Question>(input: &str) -> Result<Vec<u8>, InvalidQuestion> {
        serde_json::from_str::<Q>(input)
            .and_then(|question| question.record())
            .map(|json| record::compress(&json))
            .map_err(|error| InvalidQuestion::Input {
                call: Q::CALL.as_str(),
                error: error.to_string(),
            })
    }
    match CallName::parse(call) {
        Some(CallName::Plan) => canonical::<PlanInput>(input),
        Some(CallName::Assign) => canonical::<AssignInput>(input),
        Some(CallName::Decide) => canonical::<Observation>(input),
        Some(CallName::Check) => canonical::<CheckInput>(input),
        Some(CallName::Evaluate) => canonical::<HealthInput>(input),
        None => Err(InvalidQuestion::Call(call.to_owned())),
    }
}

/// Asks a recorded question. The new record holds the same question and whatever is answered this time.
pub(crate) fn replay(plugin: &Plugin, question: &[u8]) -> Call<()> {
    let unreadable =
        |error: &dyn std::fmt::Display| CallFailure::Host(format!("read the question: {error}"));
    let json = match record::unfold(question) {
        Ok(json) => json,
        Err(error) => return failed(unreadable(&error)),
    };
    let asked: RawAsked<'_> = match serde_json::from_str(&json) {
        Ok(asked) => asked,
        Err(error) => return failed(unreadable(&error)),
    };
    let Some(call) = CallName::parse(asked.call) else {
        return failed(unreadable(&InvalidQuestion::Call(asked.call.to_owned())));
    };
    let record = Record {
        question_digest: Some(Digest::of(json.as_bytes())),
        question: question.to_vec(),
        answer: Vec::new(),
    };
    match call {
        CallName::Plan => again::<PlanInput>(plugin, &json, record),
        CallName::Assign => again::<AssignInput>(plugin, &json, record),
        CallName::Decide => again::<Observation>(plugin, &json, record),
        CallName::Check => again::<CheckInput>(plugin, &json, record),
        CallName::Evaluate => again::<HealthInput>(plugin, &json, record),
    }
}

fn again<Q: Question>(plugin: &Plugin, json: &str, record: Record) -> Call<()> {
    match serde_json::from_str::<Asked<'_, Q>>(json) {
        Ok(asked) => map(plugin.ask_recorded(&asked.input, record), drop),
        Err(_) if Q::CALL == CallName::Assign => failed(CallFailure::Host(
            "a long page of an assignment is recorded by the digests of its columns, and cannot be asked again"
                .to_owned(),
        )),
        Err(error) => failed(CallFailure::Host(format!("read the question: {error}"))),
    }
}
