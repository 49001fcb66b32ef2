//! Why a call has no answer: told by the types of errors and by the limiter's flag, never by their text.

use std::{char::DecodeUtf16Error, str::Utf8Error};

use tidegate_engine::ports::CallFailure;
use wasmtime::{PoolConcurrencyLimitError, Trap};

use crate::{
    guest::Guest,
    limits::Budget,
    text::{MAX_REASON_BYTES, truncate},
};

/// How far a call had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallStage {
    /// Its instance was being made, or its function looked up.
    Linking,
    /// Its function was entered.
    Calling,
}

/// The class of an error of Wasmtime's.
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
    // What is left went wrong while the answer was read. Wasmtime says so in plain text or as a decoding error,
    // except for the one type that it keeps to itself: the bytes of an answer have run out.
    let malformed = error.is::<&'static str>()
        || error.is::<String>()
        || error.is::<Utf8Error>()
        || error.is::<DecodeUtf16Error>();
    if malformed {
        CallFailure::InvalidAnswer(describe(error))
    } else {
        CallFailure::AnswerTooLarge(budget.answer_bytes)
    }
}

/// The whole chain of an error, of bearable length.
pub(crate) fn describe(error: &wasmtime::Error) -> String {
    truncate(&format!("{error:#}"), MAX_REASON_BYTES).to_owned()
}

/// A trap, and what the guest wrote last: a panic leaves its message in the log and then traps as unreachable.
fn trap_message(trap: Trap, guest: &Guest) -> String {
    match guest.log.lines.last() {
        Some(line) if trap == Trap::UnreachableCodeReached => {
            format!("{} ({trap})", truncate(line, MAX_REASON_BYTES))
        }
        _ => trap.to_string(),
    }
}
