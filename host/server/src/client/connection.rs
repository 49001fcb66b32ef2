//! Connections to a server: their limits, and how they fail.

use std::{fmt, time::Duration};

use reqwest::{
    ClientBuilder, Url,
    redirect::{Attempt, Policy},
};

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of redirects.
const MAX_REDIRECTS: usize = 5;

/// A client that connects in time and sends nothing, least of all its key, to another server than it was told to.
pub(crate) fn client_builder() -> ClientBuilder {
    let same_origin = |attempt: Attempt<'_>| {
        let origin = attempt.previous().first().map(Url::origin);
        if origin != Some(attempt.url().origin()) || attempt.previous().len() > MAX_REDIRECTS {
            attempt.stop()
        } else {
            attempt.follow()
        }
    };
    reqwest::Client::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .redirect(Policy::custom(same_origin))
}

/// The server is unreachable, closed the connection, or sends nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConnectionError {
    /// Scheme, host and port.
    address: String,
    /// How long the server has sent nothing; `None`: the connection failed.
    silence: Option<Duration>,
}

impl ConnectionError {
    /// The server at this URL has sent nothing for so long.
    pub(crate) fn silent(url: &Url, silence: Duration) -> Self {
        Self {
            address: url.origin().ascii_serialization(),
            silence: Some(silence),
        }
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
        let failure = Self {
            address: url.origin().ascii_serialization(),
            silence: None,
        };
        // The URL may have a password.
        anyhow::Error::new(error.without_url()).context(failure)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, silence } = self;
        match silence {
            None => write!(f, "the server at {address} cannot be reached"),
            Some(silence) => write!(
                f,
                "the server at {address} has sent nothing for {} s",
                silence.as_secs()
            ),
        }
    }
}

impl std::error::Error for ConnectionError {}
