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
    body::Body,
    door::Door,
    lenient::{Scalar, texts},
    params::Update,
    refusal::Refusal,
};
use crate::AppState;

/// What a device says of an update.
pub(super) async fn on_deployment(
    door: Door,
    State(state): State<AppState>,
    Update(update): Update,
    Body(body): Body<FeedbackBody>,
) -> Result<Response, Refusal> {
    let feedback = body.try_into()?;
    devices::feedback(&state.engine, &door.caller, update, feedback).await?;
    Ok(StatusCode::OK.into_response())
}

/// What a device says to a call back.
pub(super) async fn on_cancel(
    door: Door,
    State(state): State<AppState>,
    Update(update): Update,
    Body(body): Body<FeedbackBody>,
) -> Result<Response, Refusal> {
    let feedback = body.try_into()?;
    devices::cancel_feedback(&state.engine, &door.caller, update, feedback).await?;
    Ok(StatusCode::OK.into_response())
}

/// `id` and `time`, which older clients send, are not looked at.
#[derive(Debug, Deserialize)]
pub(super) struct FeedbackBody {
    timestamp: Option<Scalar>,
    status: Status,
}

#[derive(Debug, Deserialize)]
struct Status {
    execution: String,
    result: Outcome,
    code: Option<Scalar>,
    #[serde(default, deserialize_with = "texts")]
    details: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Outcome {
    finished: String,
    progress: Option<ProgressBody>,
}

#[derive(Debug, Deserialize)]
struct ProgressBody {
    cnt: Option<Scalar>,
    of: Option<Scalar>,
}

impl TryFrom<FeedbackBody> for Feedback {
    type Error = Refusal;

    fn try_from(body: FeedbackBody) -> Result<Self, Refusal> {
        let FeedbackBody { timestamp, status } = body;
        let execution = Execution::parse(&status.execution)
            .filter(|execution| !execution.is_answer())
            .ok_or_else(|| unknown("execution", &status.execution))?;
        let finished = Finished::parse(&status.result.finished)
            .ok_or_else(|| unknown("finished", &status.result.finished))?;
        let device_time = match timestamp {
            Some(time) => Some(
                time.number()
                    .map(Timestamp)
                    .ok_or_else(|| Refusal::malformed("timestamp is no number"))?,
            ),
            None => None,
        };
        Ok(Self {
            device_time,
            execution,
            finished,
            progress: status.result.progress.as_ref().and_then(ProgressBody::read),
            code: code_of(status.code.as_ref())?,
            messages: status.details,
            cut: false,
        })
    }
}

impl ProgressBody {
    /// None unless it is whole.
    fn read(&self) -> Option<(u32, u32)> {
        let number = |part: &Option<Scalar>| u32::try_from(part.as_ref()?.number()?).ok();
        Some((number(&self.cnt)?, number(&self.of)?))
    }
}

/// The device's own code, where it sent one.
pub(super) fn code_of(code: Option<&Scalar>) -> Result<Option<i32>, Refusal> {
    let number = |code: &Scalar| code.number().and_then(|code| i32::try_from(code).ok());
    code.map(|code| number(code).ok_or_else(|| Refusal::malformed("code is no 32-bit integer")))
        .transpose()
}

pub(super) fn unknown(field: &str, word: &str) -> Refusal {
    Refusal::malformed(format!(
        "{field} is {word:?}, which is none of the words that it may be"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ddi::body::Encoding;

    /// Reads a body in both encodings, which must come to the same.
    fn read(body: &Value) -> Result<Feedback, Refusal> {
        let mut cbor = Vec::new();
        ciborium::into_writer(body, &mut cbor).expect("writes");
        let take = |encoding: Encoding, bytes: &[u8]| {
            encoding
                .read::<FeedbackBody>(bytes)
                .and_then(Feedback::try_from)
        };
        let from_json = take(Encoding::Json, body.to_string().as_bytes());
        let from_cbor = take(Encoding::Cbor, &cbor);
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
    fn what_real_clients_send_is_understood() {
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
            // npm hawkbit-ddi, and whoever sends empty things
            (
                json!({"id": "", "time": null,
                       "status": {"execution": "download", "code": null, "details": null,
                                  "result": {"finished": "none", "progress": {}}}}),
                feedback(E::Download, F::None, &[]),
            ),
            // One text alone, other kinds of values, unknown members
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
            // Everything that there is
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
    fn what_says_nothing_is_refused() {
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
            assert!(matches!(read(&body), Err(Refusal::Malformed(_))), "{body}");
        }
        for bytes in [&b""[..], b"{", b"\xff", b"{} {}"] {
            assert!(Encoding::Json.read::<FeedbackBody>(bytes).is_err());
        }
        let bomb = "[".repeat(100_000);
        assert!(
            Encoding::Json
                .read::<FeedbackBody>(bomb.as_bytes())
                .is_err()
        );
        assert!(
            Encoding::Cbor
                .read::<FeedbackBody>(&b"\x9f".repeat(100_000))
                .is_err()
        );
        // A text that claims to be far longer than the body.
        let liar = [
            0xa1, 0x7b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, b'x',
        ];
        assert!(Encoding::Cbor.read::<FeedbackBody>(&liar).is_err());
    }

    #[test]
    fn fuzz_feedback() {
        bolero::check!(name = "feedback").for_each(|bytes: &[u8]| {
            for encoding in [Encoding::Json, Encoding::Cbor] {
                let body = encoding.read::<FeedbackBody>(bytes);
                let _ = body.and_then(Feedback::try_from);
            }
        });
    }
}
