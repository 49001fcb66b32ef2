//! Feedback of devices on an update.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::{Named as _, id::Digest, time::Timestamp};

/// Maximum messages kept of one feedback.
pub const MAX_MESSAGES: usize = 50;
/// Maximum length of a kept message, in characters.
pub const MAX_MESSAGE_CHARS: usize = 512;
/// Maximum feedbacks kept of one update by default, in addition to the one that closes it.
pub const DEFAULT_FEEDBACK_PER_UPDATE: u32 = 1000;

/// One feedback message of the device API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// Time of the device's clock, if it sent one.
    pub device_time: Option<Timestamp>,
    /// What the device is doing.
    pub execution: Execution,
    /// Result so far.
    pub finished: Finished,
    /// Progress as (n, m) of "n of m".
    pub progress: Option<(u32, u32)>,
    /// Device-specific status code.
    pub code: Option<i32>,
    /// Detail messages.
    pub messages: Vec<String>,
    /// True if messages were truncated or dropped.
    pub cut: bool,
}

/// DDI's `execution`, and its `confirmation` ([`Self::Confirmed`], [`Self::Denied`]).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "names in DDI")]
pub enum Execution {
    Closed,
    Proceeding,
    Canceled,
    Scheduled,
    Rejected,
    Resumed,
    Download,
    Downloaded,
    Confirmed,
    Denied,
}

impl Execution {
    /// True for an answer to a confirmation request.
    pub fn is_confirmation(self) -> bool {
        matches!(self, Self::Confirmed | Self::Denied)
    }
}

/// DDI's `result.finished`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "names in DDI")]
pub enum Finished {
    Success,
    Failure,
    None,
}

impl Feedback {
    /// A feedback without details.
    pub fn new(execution: Execution, finished: Finished) -> Self {
        Self {
            device_time: None,
            execution,
            finished,
            progress: None,
            code: None,
            messages: Vec::new(),
            cut: false,
        }
    }

    /// Truncates the messages to what is kept.
    #[must_use]
    pub fn bounded(mut self) -> Self {
        self.cut |= self.messages.len() > MAX_MESSAGES;
        self.messages.truncate(MAX_MESSAGES);
        for message in &mut self.messages {
            if let Some((end, _)) = message.char_indices().nth(MAX_MESSAGE_CHARS) {
                message.truncate(end);
                self.cut = true;
            }
        }
        self
    }

    /// The log line for a feedback without messages that has a code or is `rejected`; otherwise `None`.
    pub fn log_summary(&self) -> Option<String> {
        let word = self.execution.as_str();
        match self.code {
            _ if !self.messages.is_empty() => None,
            Some(code) => Some(format!("{word}, code {code}")),
            None => (self.execution == Execution::Rejected).then(|| word.to_owned()),
        }
    }

    /// Digest of all fields, to recognise repeated feedback. Digests are stored, so the encoding must not change: every
    /// field is preceded by its length in eight bytes, numbers are big-endian, and `None` is empty.
    pub fn digest(&self) -> Digest {
        let Self {
            device_time,
            execution,
            finished,
            progress,
            code,
            messages,
            cut,
        } = self;
        let mut bytes = Vec::with_capacity(256);
        let mut add = |field: &[u8]| {
            bytes.extend((field.len() as u64).to_be_bytes());
            bytes.extend(field);
        };
        add(device_time
            .map(|at| at.0.to_be_bytes())
            .as_slice()
            .as_flattened());
        add(execution.as_str().as_bytes());
        add(finished.as_str().as_bytes());
        let progress = progress.map(|(n, of)| [n.to_be_bytes(), of.to_be_bytes()]);
        add(progress.as_slice().as_flattened().as_flattened());
        add(code.map(i32::to_be_bytes).as_slice().as_flattened());
        add(&[u8::from(*cut)]);
        for message in messages {
            add(message.as_bytes());
        }
        Digest::of(&bytes)
    }

    /// The update's `error_code`: a known code that a message contains, else `CODE_<code>`, else `FAILED`.
    pub fn error_code(&self) -> String {
        let known_code = KNOWN_ERROR_CODES
            .iter()
            .find(|known| self.messages.iter().any(|message| message.contains(*known)));
        match (known_code, self.code) {
            (Some(known), _) => (*known).to_owned(),
            (None, Some(code)) => format!("CODE_{code}"),
            (None, None) => "FAILED".to_owned(),
        }
    }
}

/// Error codes with a defined meaning for operators and policies.
pub const KNOWN_ERROR_CODES: [&str; 7] = [
    "DOWNLOAD_FAILED",
    "CHECKSUM_MISMATCH",
    "INSUFFICIENT_SPACE",
    "INCOMPATIBLE_VERSION",
    "TIMEOUT",
    "HEALTH_CHECK_FAILED",
    "SIGNATURE_INVALID",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn detailed() -> Feedback {
        Feedback {
            device_time: Some(Timestamp(1_700_000_000_000)),
            progress: Some((3, 4)),
            code: Some(-7),
            messages: vec!["a".to_owned(), "\u{e4}\n".to_owned()],
            cut: true,
            ..Feedback::new(Execution::Closed, Finished::Failure)
        }
    }

    #[test]
    fn stored_digests_stay_valid() {
        let expected = [
            (
                detailed(),
                "sha256:7381ae358f9243a62b1631bdcf3780e7e489857e23b4acb1bd39a3611f0b1230",
            ),
            (
                Feedback::new(Execution::Proceeding, Finished::None),
                "sha256:6b69172d987fcb46428b91b71e10de05fa6fca523ff3352d6bac24f87b6454a5",
            ),
        ];
        for (feedback, digest) in expected {
            assert_eq!(feedback.digest().to_string(), digest);
        }
    }

    #[test]
    fn feedback_that_differs_in_any_field_has_another_digest() {
        let changes: [fn(&mut Feedback); 10] = [
            |it| it.device_time = None,
            |it| it.execution = Execution::Canceled,
            |it| it.finished = Finished::None,
            |it| it.progress = None,
            |it| it.progress = Some((4, 3)),
            |it| it.code = None,
            |it| it.code = Some(7),
            |it| it.messages = vec!["a\u{e4}\n".to_owned()],
            |it| it.messages.reverse(),
            |it| it.cut = false,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = detailed();
            change(&mut other);
            assert_ne!(other.digest(), detailed().digest(), "change {index}");
        }
        assert_eq!(detailed().digest(), detailed().clone().digest());
    }

    #[test]
    fn feedback_without_messages_is_logged_by_its_execution() {
        for (execution, code, messages, expected) in [
            (
                Execution::Rejected,
                Some(42),
                &[][..],
                Some("rejected, code 42"),
            ),
            (Execution::Rejected, None, &[], Some("rejected")),
            (
                Execution::Proceeding,
                Some(-1),
                &[],
                Some("proceeding, code -1"),
            ),
            (Execution::Proceeding, None, &[], None),
            (Execution::Rejected, Some(42), &["no"], None),
        ] {
            let feedback = Feedback {
                code,
                messages: messages.iter().map(|&message| message.to_owned()).collect(),
                ..Feedback::new(execution, Finished::None)
            };
            assert_eq!(feedback.log_summary().as_deref(), expected, "{feedback:?}");
        }
    }

    #[test]
    fn oversized_feedback_is_truncated_and_flagged() {
        let feedback = Feedback {
            messages: vec!["é".repeat(600); 60],
            ..Feedback::new(Execution::Proceeding, Finished::None)
        };
        let bounded = feedback.bounded();
        assert!(bounded.cut);
        assert_eq!(bounded.messages.len(), 50);
        assert!(
            bounded
                .messages
                .iter()
                .all(|message| message.chars().count() == 512)
        );
    }
}
