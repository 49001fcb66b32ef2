//! Classifies failed calls by error types and by the memory limiter's flag, never by error texts.

use std::{char::DecodeUtf16Error, str::Utf8Error};

use tidegate_core::visible_text::visible_in_one_line;
use tidegate_engine::ports::CallFailure;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::{
    guest::Guest,
    limits::Budget,
    limits::{MAX_REASON_BYTES, truncate},
};

/// The stage in which a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallStage {
    /// Instantiation, or lookup of the function.
    Linking,
    /// The call of the function.
    Calling,
}

/// Classifies an error of Wasmtime.
pub(crate) fn classify(
    error: &wasmtime::Error,
    stage: CallStage,
    guest: &Guest,
    budget: &Budget,
) -> CallFailure {
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => return CallFailure::OutOfFuel(budget.fuel),
        Some(Trap::Interrupt) => return CallFailure::Deadline(budget.deadline),
        _ if guest.memory.refused => return CallFailure::OutOfMemory(budget.memory_bytes),
        Some(trap) => return CallFailure::Trap(trap_message(*trap, guest)),
        None => {}
    }
    if error.is::<PoolConcurrencyLimitError>() || error.is::<wasmtime::error::OutOfMemory>() {
        return CallFailure::Host(describe(error));
    }
    if stage == CallStage::Linking {
        return CallFailure::Link(describe(error));
    }
    // The remaining errors come from lifting the result or a log line. They are plain strings or decoding errors, except for one
    // private type: the limit on the answer's bytes was exceeded.
    let malformed = error.is::<&'static str>()
        || error.is::<String>()
        || error.is::<Utf8Error>()
        || error.is::<DecodeUtf16Error>();
    if malformed {
        // Above the root cause is a backtrace, if the error came from a call of the log.
        CallFailure::InvalidAnswer(visible_text(&error.root_cause().to_string()))
    } else {
        CallFailure::AnswerTooLarge(budget.answer_bytes)
    }
}

/// The error with its causes, truncated, visible and in one line: it may have names from the component.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    visible_text(&format!("{error:#}"))
}

fn visible_text(text: &str) -> String {
    visible_in_one_line(truncate(text, MAX_REASON_BYTES)).into_owned()
}

/// Describes a trap. A panic logs its message and then traps as unreachable, so what was logged last is included.
fn trap_message(trap: Trap, guest: &Guest) -> String {
    match guest.log.last_text() {
        Some(text) if trap == Trap::UnreachableCodeReached => {
            format!("{} ({trap})", truncate(&text, MAX_REASON_BYTES))
        }
        _ => trap.to_string(),
    }
}

/// The plugin's own error, as it is recorded.
pub(crate) fn truncated_reason(mut text: String) -> String {
    text.truncate(truncate(&text, MAX_REASON_BYTES).len());
    text
}

/// The plugin's own error, as it is shown.
pub(crate) fn plugin_error(text: &str) -> CallFailure {
    CallFailure::PluginError(visible_text(text))
}
