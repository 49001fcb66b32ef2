//! What a device says of an update.

use crate::{id::Digest, time::Timestamp};

/// Most detail messages kept of one feedback.
pub const MAX_MESSAGES: usize = 50;
/// Longest message kept, in characters.
pub const MAX_MESSAGE_CHARS: usize = 512;
/// Most feedbacks kept of one update, besides the one that closes it.
pub const MAX_PER_UPDATE: u32 = 1000;

/// One feedback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The device's own time, where it gave one.
    pub device_time: Option<Timestamp>,
    /// What it is doing.
    pub execution: Execution,
    /// How it went.
    pub finished: Finished,
    /// "n of m".
    pub progress: Option<(u32, u32)>,
    /// The device's own code.
    pub code: Option<i32>,
    /// What it says in words.
    pub messages: Vec<String>,
    /// Whether messages were cut to fit.
    pub cut: bool,
}

/// DDI's `execution`; the last two are its `confirmation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the device API")]
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
    const ALL: [Self; 10] = [
        Self::Closed,
        Self::Proceeding,
        Self::Canceled,
        Self::Scheduled,
        Self::Rejected,
        Self::Resumed,
        Self::Download,
        Self::Downloaded,
        Self::Confirmed,
        Self::Denied,
    ];

    /// Its word on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Proceeding => "proceeding",
            Self::Canceled => "canceled",
            Self::Scheduled => "scheduled",
            Self::Rejected => "rejected",
            Self::Resumed => "resumed",
            Self::Download => "download",
            Self::Downloaded => "downloaded",
            Self::Confirmed => "confirmed",
            Self::Denied => "denied",
        }
    }

    /// Whether it answers the question if an update may begin.
    pub fn is_confirmation(self) -> bool {
        matches!(self, Self::Confirmed | Self::Denied)
    }

    /// The execution of this word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|execution| execution.as_str() == text)
    }
}

/// DDI's `result.finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the device API")]
pub enum Finished {
    Success,
    Failure,
    None,
}

impl Finished {
    /// Its word on the wire and in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::None => "none",
        }
    }

    /// The result of this word.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Success, Self::Failure, Self::None]
            .into_iter()
            .find(|finished| finished.as_str() == text)
    }
}

impl Feedback {
    /// A feedback that says this and nothing else.
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

    /// A feedback with its messages cut to what is kept.
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

    /// What stands in its update's log for a feedback without words that should not go unseen.
    pub fn log_summary(&self) -> Option<String> {
        let word = self.execution.as_str();
        match self.code {
            _ if !self.messages.is_empty() => None,
            Some(code) => Some(format!("{word}, code {code}")),
            None => (self.execution == Execution::Rejected).then(|| word.to_owned()),
        }
    }

    /// Tells the same feedback sent twice from two feedbacks.
    pub fn digest(&self) -> Digest {
        Digest::of(format!("{self:?}").as_bytes())
    }

    /// Why an update failed, as `error_code`: one of the known codes when the device names one, else its own number.
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

/// Error codes that operators and policies know by name.
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
