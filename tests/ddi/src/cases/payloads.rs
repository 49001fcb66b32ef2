//! What devices send.

use serde_json::json;

use crate::adapter::AssignmentOptions;

/// A feedback as JSON text.
pub(super) fn feedback(execution: &str, finished: &str) -> String {
    feedback_with_messages(execution, finished, &[])
}

/// A feedback with messages.
pub(super) fn feedback_with_messages(execution: &str, finished: &str, messages: &[&str]) -> String {
    let result = json!({ "finished": finished });
    json!({ "status": { "execution": execution, "result": result, "details": messages } })
        .to_string()
}

/// A feedback with messages and the device's own time.
pub(super) fn feedback_at(time: i64, message: &str) -> String {
    let status = json!({ "execution": "proceeding", "result": { "finished": "none" }, "details": [message] });
    json!({ "timestamp": time, "status": status }).to_string()
}

/// What a device's user says.
pub(super) fn confirmation(word: &str) -> String {
    json!({ "confirmation": word }).to_string()
}

/// The same in CBOR.
pub(super) fn to_cbor(json: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(json).expect("JSON");
    let mut bytes = Vec::new();
    ciborium::into_writer(&value, &mut bytes).expect("memory takes it");
    bytes
}

/// An update that the device's user has to agree to.
pub(super) fn confirmation_required() -> AssignmentOptions {
    AssignmentOptions {
        confirmation: true,
        ..AssignmentOptions::default()
    }
}
