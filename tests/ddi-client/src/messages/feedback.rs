use serde::Serialize;
use tidegate_core::{Named as _, feedback::Feedback};

/// The body of feedback on an update or on a cancellation.
#[derive(Debug, Serialize)]
pub struct FeedbackBody<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<i64>,
    status: Status<'a>,
}

#[derive(Debug, Serialize)]
struct Status<'a> {
    execution: &'static str,
    result: ResultBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    details: &'a [String],
}

#[derive(Debug, Serialize)]
struct ResultBody {
    finished: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress>,
}

#[derive(Debug, Serialize)]
struct Progress {
    cnt: u32,
    of: u32,
}

impl<'a> From<&'a Feedback> for FeedbackBody<'a> {
    fn from(feedback: &'a Feedback) -> Self {
        Self {
            timestamp: feedback.device_time.map(|time| time.0),
            status: Status {
                execution: feedback.execution.as_str(),
                result: ResultBody {
                    finished: feedback.finished.as_str(),
                    progress: feedback.progress.map(|(cnt, of)| Progress { cnt, of }),
                },
                code: feedback.code,
                details: &feedback.messages,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use tidegate_core::{
        feedback::{Execution, Finished},
        time::Timestamp,
    };

    use super::*;

    fn written(feedback: &Feedback) -> String {
        serde_json::to_string(&FeedbackBody::from(feedback)).expect("it is written")
    }

    #[test]
    fn feedback_is_written_as_hawkbit_reads_it() {
        let feedback = Feedback::new(Execution::Closed, Finished::Success);
        assert_eq!(
            written(&feedback),
            r#"{"status":{"execution":"closed","result":{"finished":"success"},"details":[]}}"#
        );
        let feedback = Feedback {
            device_time: Some(Timestamp(17)),
            progress: Some((2, 5)),
            code: Some(-1),
            messages: vec!["half".to_owned()],
            ..Feedback::new(Execution::Proceeding, Finished::None)
        };
        assert_eq!(
            written(&feedback),
            r#"{"timestamp":17,"status":{"execution":"proceeding","result":{"finished":"none","progress":{"cnt":2,"of":5}},"code":-1,"details":["half"]}}"#
        );
    }

    #[test]
    fn words_are_those_of_the_device_api() {
        use {Execution as E, Finished as F};
        for (execution, finished, words) in [
            (E::Closed, F::Failure, ["closed", "failure"]),
            (E::Canceled, F::Success, ["canceled", "success"]),
            (E::Scheduled, F::None, ["scheduled", "none"]),
            (E::Rejected, F::None, ["rejected", "none"]),
            (E::Resumed, F::None, ["resumed", "none"]),
            (E::Download, F::None, ["download", "none"]),
            (E::Downloaded, F::None, ["downloaded", "none"]),
        ] {
            let feedback = Feedback::new(execution, finished);
            let body = FeedbackBody::from(&feedback).status;
            assert_eq!([body.execution, body.result.finished], words);
        }
    }
}
