use reqwest::StatusCode;

use crate::HttpResponse;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum DdiError {
    /// The server could not be reached, or the connection broke.
    #[error(transparent)]
    Network(#[from] reqwest::Error),
    /// The server answered with another status than expected.
    #[error("expected {expected}: {response}")]
    Status {
        /// The expected status.
        expected: u16,
        /// The whole response.
        response: Box<HttpResponse>,
    },
    /// The body of a response is not what its resource promises.
    #[error("invalid response: {response}")]
    Invalid {
        /// The whole response.
        response: Box<HttpResponse>,
        /// What is wrong with its body.
        source: serde_json::Error,
    },
    /// The server describes a file without a link to it.
    #[error("{name}: the server sent no link to the file")]
    NoLink {
        /// The name of the file.
        name: String,
    },
    /// A file does not match its description. Downloading it again is useless until the description changes.
    #[error("{name}: {what}")]
    Corrupt {
        /// The name of the file.
        name: String,
        /// The difference.
        what: &'static str,
    },
}

impl DdiError {
    /// The status of the response, if that is what is wrong.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { response, .. } => Some(response.status),
            Self::Network(_)
            | Self::Invalid { .. }
            | Self::NoLink { .. }
            | Self::Corrupt { .. } => None,
        }
    }

    /// Whether the update no longer exists for this device, so that a retry is useless.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        )
    }
}
