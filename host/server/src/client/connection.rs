//! How connections to a server fail.

use std::{fmt, time::Duration};

use reqwest::Url;

/// The server is unreachable, closed the connection before it had answered, or does not answer in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionError {
    /// Scheme, host and port.
    address: String,
    failure: ConnectionFailure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ConnectionFailure {
    Unreachable,
    /// The connection ended, or the answer is not one of HTTP.
    NoAnswer,
    /// The server has sent nothing for so long.
    Silent(Duration),
    /// The answer was not complete after so long.
    Slow(Duration),
}

impl ConnectionError {
    /// The server at this URL has sent nothing for so long.
    pub(crate) fn silent(url: &Url, silence: Duration) -> Self {
        Self::new(url, ConnectionFailure::Silent(silence))
    }

    /// The server at this URL has not sent its whole answer in this time.
    pub(crate) fn slow(url: &Url, limit: Duration) -> Self {
        Self::new(url, ConnectionFailure::Slow(limit))
    }

    /// The failure of a request that waits so long for the server.
    pub(crate) fn from_request(
        error: reqwest::Error,
        url: &Url,
        silence: Duration,
    ) -> anyhow::Error {
        if error.is_timeout() && !error.is_connect() {
            return Self::silent(url, silence).into();
        }
        let failure = if error.is_connect() {
            ConnectionFailure::Unreachable
        } else {
            ConnectionFailure::NoAnswer
        };
        let failure = Self::new(url, failure);
        // The URL may have a password.
        anyhow::Error::new(error.without_url()).context(failure)
    }

    fn new(url: &Url, failure: ConnectionFailure) -> Self {
        let address = url.origin().ascii_serialization();
        Self { address, failure }
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the server at {} ", self.address)?;
        match self.failure {
            ConnectionFailure::Unreachable => f.write_str("cannot be reached"),
            ConnectionFailure::NoAnswer => f.write_str("has not answered completely"),
            ConnectionFailure::Silent(time) => {
                write!(f, "has sent nothing for {} s", time.as_secs())
            }
            ConnectionFailure::Slow(time) => {
                write!(f, "has not sent its whole answer in {} s", time.as_secs())
            }
        }
    }
}

impl std::error::Error for ConnectionError {}
