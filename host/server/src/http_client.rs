//! What the HTTP clients of the program have in common. The server at the other end chooses where a redirect leads and
//! how long a body is.

use std::time::Duration;

use reqwest::{
    ClientBuilder, Response, Url,
    redirect::{Attempt, Policy},
};

/// Maximum time to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of redirects.
const MAX_REDIRECTS: usize = 5;

/// A client that connects in time and sends nothing, least of all its credentials, to another server than it was told
/// to. It responds with a redirect that it does not follow.
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

/// The body of a response; `None` if it has more bytes than this.
pub(crate) async fn read_body(
    response: Response,
    max_bytes: usize,
) -> reqwest::Result<Option<Vec<u8>>> {
    let body = read_start(response, max_bytes + 1).await?;
    Ok((body.len() <= max_bytes).then_some(body))
}

/// The first bytes of a body, at most so many.
pub(crate) async fn read_start(
    mut response: Response,
    max_bytes: usize,
) -> reqwest::Result<Vec<u8>> {
    let mut start = Vec::new();
    while start.len() < max_bytes
        && let Some(chunk) = response.chunk().await?
    {
        let missing = max_bytes - start.len();
        start.extend_from_slice(&chunk[..chunk.len().min(missing)]);
    }
    Ok(start)
}
