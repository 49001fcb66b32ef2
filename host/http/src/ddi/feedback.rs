use axum::response::IntoResponse as _;
use axum::{extract::State, response::Response};
use http::StatusCode;
use serde::Deserialize;
use tidegate_core::{
    feedback::{Execution, Feedback, Finished},
    time::Timestamp,
};
use tidegate_engine::devices;

use super::{
    body::DdiBody,
    device_auth::DeviceAuth,
    error::DdiError,
    lenient::{Scalar, texts},
    path::UpdateParam,
};
use crate::AppState;

/// Records feedback on an update.
pub(super) async fn on_deployment(
    device: DeviceAuth,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
    DdiBody(body): DdiBody<FeedbackMessage>,
) -> Result<Response, DdiError> {
    let feedback = body.try_into()?;
    devices::record_feedback(&device.caller, &state.engine, update, feedback).await?;
    Ok(StatusCode::OK.into_response())
}

/// Records feedback on a cancellation.
pub(super) async fn on_cancel(
    device: DeviceAuth,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
    DdiBody(body): DdiBody<FeedbackMessage>,
) -> Result<Response, DdiError> {
    let feedback = body.try_into()?;
    devices::record_cancel_feedback(&device.caller, &state.engine, update, feedback).await?;
    Ok(StatusCode::OK.into_response())
}

/// `id` and `time`, which older clients send, are ignored.
#[derive(Debug, Deserialize)]
pub(super) struct FeedbackMessage {
    timestamp: Option<Scalar>,
    status: StatusMessage,
}

#[derive(Debug, Deserialize)]
struct StatusMessage {
    execution: String,
    result: ResultMessage,
    code: Option<Scalar>,
    #[serde(default, deserialize_with = "texts")]
    details: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct ResultMessage {
    finished: String,
    progress: Option<ProgressMessage>,
}

#[derive(Debug, Deserialize)]
struct ProgressMessage {
    cnt: Option<Scalar>,
    of: Option<Scalar>,
}

impl TryFrom<FeedbackMessage> for Feedback {
    type Error = DdiError;

    fn try_from(body: FeedbackMessage) -> Result<Self, DdiError> {
        let FeedbackMessage { timestamp, status } = body;
        let execution: Option<Execution> = status.execution.parse().ok();
        let execution = execution
            .filter(|execution| !execution.is_confirmation())
            .ok_or_else(|| unknown_value("execution", &status.execution))?;
        let finished = status.result.finished.parse();
        let finished: Finished =
            finished.map_err(|_| unknown_value("finished", &status.result.finished))?;
        let device_time = match timestamp {
            Some(time) => Some(
                time.number()
                    .map(Timestamp)
                    .ok_or_else(|| DdiError::malformed("timestamp is not a number"))?,
            ),
            None => None,
        };
        Ok(Self {
            device_time,
            execution,
            finished,
            progress: status
                .result
                .progress
                .as_ref()
                .and_then(ProgressMessage::parse),
            code: parse_code(status.code.as_ref())?,
            messages: status.details,
            cut: false,
        })
    }
}

impl ProgressMessage {
    /// None unless both numbers are valid.
    fn parse(&self) -> Option<(u32, u32)> {
        let number = |part: &Option<Scalar>| u32::try_from(part.as_ref()?.number()?).ok();
        Some((number(&self.cnt)?, number(&self.of)?))
    }
}

/// Parses the device's own status code, if it sent one.
pub(super) fn parse_code(code: Option<&Scalar>) -> Result<Option<i32>, DdiError> {
    let number = |code: &Scalar| code.number().and_then(|code| i32::try_from(code).ok());
    code.map(|code| number(code).ok_or_else(|| DdiError::malformed("code is not a 32-bit integer")))
        .transpose()
}

pub(super) fn unknown_value(field: &str, value: &str) -> DdiError {
    DdiError::malformed(format!(
        "{field} is {value:?}, which is not an allowed value"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ddi::body::Encoding;

    /// Parses a body in both encodings, which must give the same result.
    fn read(body: &Value) -> Result<Feedback, DdiError> {
        let mut cbor = Vec::new();
        ciborium::into_writer(body, &mut cbor).expect("writes");
        let decode = |encoding: Encoding, bytes: &[u8]| {
            encoding
                .decode::<FeedbackMessage>(bytes)
                .and_then(Feedback::try_from)
        };
        let from_json = decode(Encoding::Json, body.to_string().as_bytes());
        let from_cbor = decode(Encoding::Cbor, &cbor);
        assert_eq!(from_json.as_ref().ok(), from_cbor.as_ref().ok(), "{body}");
        from_json
    }

    fn feedback(execution: Execution, finished: Finished, messages: &[&str]) -> Feedback {
        Feedback {
            messages: messages.iter().map(|&message| message.to_owned()).collect(),
            ..Feedback::new(execution, finished)
        }
    }

    #[test]
    fn feedback_of_known_clients_is_parsed() {
        use {Execution as E, Finished as F};
        for (body, expected) in [
            // SWUpdate
            (
                json!({"id": "8", "time": "20140511T121314",
                       "status": {"result": {"finished": "success"}, "execution": "closed",
                                  "details": ["Installation finished", "rebooting"]}}),
                feedback(
                    E::Closed,
                    F::Success,
                    &["Installation finished", "rebooting"],
                ),
            ),
            // rauc-hawkbit-updater
            (
                json!({"status": {"execution": "proceeding", "result": {"finished": "none"},
                                  "details": ["52% Copying image to rootfs.0"]}}),
                feedback(E::Proceeding, F::None, &["52% Copying image to rootfs.0"]),
            ),
            // Zephyr
            (
                json!({"id": "3", "status": {"result": {"finished": "failure"}, "execution": "closed"}}),
                feedback(E::Closed, F::Failure, &[]),
            ),
            // npm hawkbit-ddi, and clients that send empty members
            (
                json!({"id": "", "time": null,
                       "status": {"execution": "download", "code": null, "details": null,
                                  "result": {"finished": "none", "progress": {}}}}),
                feedback(E::Download, F::None, &[]),
            ),
            // A single string, values of other types, unknown members
            (
                json!({"id": 12, "time": 5, "proceed": true,
                       "status": {"execution": "rejected", "details": "no", "extra": [1],
                                  "result": {"finished": "none", "progress": {"cnt": 1}}}}),
                feedback(E::Rejected, F::None, &["no"]),
            ),
            (
                json!({"status": {"execution": "scheduled", "details": [1, true, null, "x"],
                                  "result": {"finished": "none", "progress": null}}}),
                feedback(E::Scheduled, F::None, &["1", "true", "x"]),
            ),
            // All members
            (
                json!({"timestamp": 1_627_997_501_890_i64,
                       "status": {"execution": "downloaded", "code": 200, "details": [],
                                  "result": {"finished": "none", "progress": {"cnt": 2, "of": 5}}}}),
                Feedback {
                    device_time: Some(Timestamp(1_627_997_501_890)),
                    progress: Some((2, 5)),
                    code: Some(200),
                    ..feedback(E::Downloaded, F::None, &[])
                },
            ),
            (
                json!({"timestamp": "1627997501890",
                       "status": {"execution": "resumed", "code": "-7",
                                  "result": {"finished": "none", "progress": {"cnt": "2", "of": -5}}}}),
                Feedback {
                    device_time: Some(Timestamp(1_627_997_501_890)),
                    code: Some(-7),
                    ..feedback(E::Resumed, F::None, &[])
                },
            ),
        ] {
            assert_eq!(read(&body), Ok(expected), "{body}");
        }
    }

    #[test]
    fn malformed_feedback_is_refused() {
        for body in [
            json!({}),
            json!([]),
            json!("closed"),
            json!({"status": null}),
            json!({"status": {"execution": "closed"}}),
            json!({"status": {"execution": "closed", "result": null}}),
            json!({"status": {"execution": "closed", "result": {}}}),
            json!({"status": {"execution": "CLOSED", "result": {"finished": "success"}}}),
            json!({"status": {"execution": "done", "result": {"finished": "success"}}}),
            json!({"status": {"execution": "closed", "result": {"finished": "maybe"}}}),
            json!({"status": {"execution": "closed", "result": {"finished": "none"}, "code": "x"}}),
            json!({"status": {"execution": "closed", "result": {"finished": "none"}, "code": 1e12}}),
            json!({"status": {"execution": "closed", "result": {"finished": "none"}, "details": {}}}),
            json!({"timestamp": "now",
                   "status": {"execution": "closed", "result": {"finished": "none"}}}),
        ] {
            assert!(matches!(read(&body), Err(DdiError::Malformed(_))), "{body}");
        }
        for bytes in [&b""[..], b"{", b"\xff", b"{} {}"] {
            assert!(Encoding::Json.decode::<FeedbackMessage>(bytes).is_err());
        }
        let nested = "[".repeat(100_000);
        assert!(
            Encoding::Json
                .decode::<FeedbackMessage>(nested.as_bytes())
                .is_err()
        );
        assert!(
            Encoding::Cbor
                .decode::<FeedbackMessage>(&b"\x9f".repeat(100_000))
                .is_err()
        );
        // A string whose length prefix exceeds the body.
        let false_length = [
            0xa1, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'x',
        ];
        assert!(
            Encoding::Cbor
                .decode::<FeedbackMessage>(&false_length)
                .is_err()
        );
    }

    #[test]
    fn fuzz_feedback() {
        bolero::check!(name = "feedback").for_each(|bytes: &[u8]| {
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let body = encoding.decode::<FeedbackMessage>(bytes);
                let _ = body.and_then(Feedback::try_from);
            }
        });
    }
}
