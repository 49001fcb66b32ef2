//! Request bodies of devices.

use serde_json::json;

use crate::adapter::AssignmentOptions;

/// A feedback body.
pub(super) fn feedback(execution: &str, finished: &str) -> String {
    feedback_with_messages(execution, finished, &[])
}

/// A feedback body with messages.
pub(super) fn feedback_with_messages(execution: &str, finished: &str, messages: &[&str]) -> String {
    let result = json!({ "finished": finished });
    json!({ "status": { "execution": execution, "result": result, "details": messages } })
        .to_string()
}

/// A feedback body with one message and the device's timestamp.
pub(super) fn feedback_at(time: i64, message: &str) -> String {
    let status = json!({ "execution": "proceeding", "result": { "finished": "none" }, "details": [message] });
    json!({ "timestamp": time, "status": status }).to_string()
}

/// A confirmation feedback body.
pub(super) fn confirmation(word: &str) -> String {
    json!({ "confirmation": word }).to_string()
}

/// Converts JSON text to CBOR.
pub(super) fn to_cbor(json: &str) -> Vec<u8> {
    let value: serde_json::Value = serde_json::from_str(json).expect("the test's JSON is valid");
    let mut bytes = Vec::new();
    ciborium::into_writer(&value, &mut bytes).expect("writing to memory cannot fail");
    bytes
}

/// Options of an update that the device's user must confirm.
pub(super) fn confirmation_required() -> AssignmentOptions {
    AssignmentOptions {
        confirmation: true,
        ..AssignmentOptions::default()
    }
}
