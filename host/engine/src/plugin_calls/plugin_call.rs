use std::convert::Infallible;

use tidegate_core::campaign::PluginUse;

use crate::{
    Error,
    ports::{Call, CallFailure, EntryKind},
};

/// A call of a plugin, for a journal.
pub(crate) struct PluginCall<T> {
    /// The call that was made: `wants` in place of a call that needs its answer, if it failed.
    pub(crate) kind: EntryKind,
    pub(crate) call: Call<T>,
}

/// A call without an output.
pub(crate) type FailedCall = Box<PluginCall<Infallible>>;

impl<T> PluginCall<T> {
    /// The output, or the failed call.
    pub(super) fn into_output(self) -> Result<T, FailedCall> {
        let Self { kind, call } = self;
        let failure = match call.outcome {
            Ok(output) => return Ok(output),
            Err(failure) => failure,
        };
        let call = Call {
            outcome: Err(failure),
            fuel: call.fuel,
            peak_memory: call.peak_memory,
            duration: call.duration,
            log: call.log,
            record: call.record,
        };
        Err(Box::new(PluginCall { kind, call }))
    }
}

impl<T> From<FailedCall> for PluginCall<T> {
    fn from(failed: FailedCall) -> Self {
        let PluginCall { kind, call } = *failed;
        let call = call.and_then(|never| match never {});
        Self { kind, call }
    }
}

/// The error if a plugin could not answer now and may if it is asked again; `None`: it would fail in the same way.
pub(crate) fn temporary_error(plugin: &PluginUse, failure: &CallFailure) -> Option<Error> {
    if failure.is_deterministic() {
        return None;
    }
    let error = match Error::from(failure.clone()) {
        Error::Unavailable { message, source } => Error::Unavailable {
            message: format!("{}: {message}", plugin.plugin),
            source,
        },
        other => other,
    };
    Some(error)
}

impl From<FailedCall> for Error {
    fn from(failed: FailedCall) -> Self {
        let PluginCall { call, .. } = *failed;
        let Err(failure) = call.outcome;
        failure.into()
    }
}
