//! A client of the REST API, for the commands that talk to a running server.

mod connection;
mod event_stream;
mod local_output;
mod problem;
pub(crate) mod table;
mod upload;

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{CONTENT_TYPE, LOCATION, RETRY_AFTER},
};
use serde_json::Value;
use tidegate_core::visible_text::visible;
use tokio::time::timeout;

use crate::http_client::{client_builder, read_body};

pub(crate) use connection::ConnectionError;
pub(crate) use event_stream::EventStream;
pub(crate) use local_output::LocalOutput;
pub(crate) use problem::Problem;
pub(crate) use upload::Upload;

/// Delay before an ended event stream is reopened.
pub(crate) const RECONNECT_DELAY: Duration = Duration::from_secs(1);

/// Maximum time of a request without a file, as a multiple of the time for which the server may send nothing.
const TIME_FACTOR: u32 = 5;
/// Maximum size of an answer that is read into memory: a page of the longest list has a few MiB.
const MAX_BODY_BYTES: usize = 64 << 20;

/// All but the characters that a path segment contains unescaped.
const SEGMENT_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The help heading of options that all commands share.
const HEADING: &str = "Server and output";

/// The server to connect to, and the output format.
#[derive(Debug, Clone, Args)]
pub(crate) struct Remote {
    /// URL of the server
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_URL",
        help_heading = HEADING,
        default_value = "http://127.0.0.1:8080"
    )]
    pub(crate) url: Url,
    /// API key or bearer token
    #[arg(
        long,
        global = true,
        env = "TIDEGATE_KEY",
        hide_env_values = true,
        help_heading = HEADING
    )]
    pub(crate) key: Option<String>,
    /// Print JSON: the server's response
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) json: bool,
    /// Give up when the server sends nothing for so long, or when an answer takes five times as long
    #[arg(
        long,
        global = true,
        help_heading = HEADING,
        value_name = "SECONDS",
        default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    pub(crate) server_timeout: u64,
}

impl Remote {
    /// How long the server may send nothing.
    fn silence(&self) -> Duration {
        Duration::from_secs(self.server_timeout)
    }
}

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct RestClient {
    http: reqwest::Client,
    /// Without a limit of silence: while a file is sent, the server has nothing to send.
    upload_http: reqwest::Client,
    remote: Remote,
}

impl RestClient {
    /// Creates a client without connecting.
    pub(crate) fn new(remote: Remote) -> Result<Self> {
        let build =
            |builder: reqwest::ClientBuilder| builder.build().context("build the HTTP client");
        let silence = remote.silence();
        Ok(Self {
            http: build(client_builder().read_timeout(silence))?,
            upload_http: build(client_builder())?,
            remote,
        })
    }

    /// Whether to print the server's JSON response.
    pub(crate) fn wants_json(&self) -> bool {
        self.remote.json
    }

    /// Gets a resource or a page of a list.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        self.json(self.request(Method::GET, path)?.query(query))
            .await
    }

    /// Creates a resource or runs a command.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(self.request(Method::POST, path)?.json(body))
            .await
    }

    /// Replaces a resource.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(self.request(Method::PUT, path)?.json(body)).await
    }

    /// Applies a merge patch.
    pub(crate) async fn patch(&self, path: &str, change: &Value) -> Result<Value> {
        self.json(self.request(Method::PATCH, path)?.json(change))
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.json(self.request(Method::DELETE, path)?).await?;
        Ok(())
    }

    /// Sends a form with files. Fails if the server neither takes more of it nor answers for the time of the limit.
    pub(crate) async fn upload(&self, path: &str, upload: Upload) -> Result<Value> {
        let request = self.request_with(&self.upload_http, Method::POST, path)?;
        let silence = self.remote.silence();
        let answer = self.exchange(request.multipart(upload.form));
        match upload.progress.watch(silence, answer).await {
            Some(answer) => answer,
            None => Err(ConnectionError::silent(&self.remote.url, silence).into()),
        }
    }

    /// Opens an event stream, after the event of this id if one is given.
    pub(crate) async fn events(&self, path: &str, after: Option<&str>) -> Result<EventStream> {
        let mut request = self
            .request(Method::GET, path)?
            .header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let response = self.in_time(self.send(request)).await?;
        Ok(EventStream::new(response))
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        self.request_with(&self.http, method, path)
    }

    fn request_with(
        &self,
        http: &reqwest::Client,
        method: Method,
        path: &str,
    ) -> Result<RequestBuilder> {
        // A URL has no such segments: they would change which resource it names.
        if let Some(dots) = path.split('/').find(|it| matches!(*it, "." | "..")) {
            bail!("`{dots}` is not an id");
        }
        let base = self.remote.url.as_str().trim_end_matches('/');
        let url = format!("{base}/api/v1/{path}");
        let request = http.request(
            method,
            Url::parse(&url).with_context(|| format!("call {url}"))?,
        );
        Ok(match &self.remote.key {
            Some(token) if is_bearer_token(token) => request.bearer_auth(token),
            Some(key) => request.header("X-API-Key", key),
            None => request,
        })
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value> {
        self.in_time(self.exchange(request)).await
    }

    /// Fails if the server has not answered completely in time, however it trickles.
    async fn in_time<T>(&self, answer: impl Future<Output = Result<T>>) -> Result<T> {
        let limit = self.remote.silence() * TIME_FACTOR;
        match timeout(limit, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(ConnectionError::slow(&self.remote.url, limit).into()),
        }
    }

    /// Sends a request and reads its answer.
    async fn exchange(&self, request: RequestBuilder) -> Result<Value> {
        let response = self.send(request).await?;
        let text = self.text(response).await?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).context("read the server's response")
    }

    async fn text(&self, response: Response) -> Result<String> {
        let body = read_body(response, MAX_BODY_BYTES).await;
        let body = body.map_err(|error| self.connection_error(error))?;
        let Some(body) = body else {
            bail!(
                "the answer of the server at {} has more than {} MiB",
                self.remote.url.origin().ascii_serialization(),
                MAX_BODY_BYTES >> 20
            );
        };
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    /// Sends a request; an unsuccessful response becomes a [`Problem`].
    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await;
        let response = response.map_err(|error| self.connection_error(error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if let Some(location) = response.headers().get(LOCATION)
            && status.is_redirection()
        {
            bail!(
                "the server at {} redirects to {}, which is not followed: if that is the server's address, set --url to it",
                self.remote.url.origin().ascii_serialization(),
                visible(&String::from_utf8_lossy(location.as_bytes()))
            );
        }
        let is_json = response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        let body = self.text(response).await?;
        let problem = Problem::read(status.as_u16(), is_json, &body);
        let retry_after = retry_after.as_ref().and_then(|it| it.to_str().ok());
        Err(problem
            .with_retry_after(retry_after.unwrap_or_default())
            .into())
    }

    fn connection_error(&self, error: reqwest::Error) -> anyhow::Error {
        ConnectionError::from_request(error, &self.remote.url, self.remote.silence())
    }
}

/// Encodes an id as one segment of a path.
pub(crate) fn segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT_ESCAPES).to_string()
}

/// A JWT has three parts separated by dots; API keys contain no dot.
fn is_bearer_token(key: &str) -> bool {
    key.split('.').count() == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_stays_one_segment() {
        assert_eq!(segment("a/b ü?.-"), "a%2Fb%20%C3%BC%3F.-");
    }

    #[test]
    fn keys_and_tokens_are_distinguished() {
        assert!(is_bearer_token(
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
        ));
        assert!(!is_bearer_token("tg_9dc5100732e2938dbd8fbc8ea15f31bf"));
    }
}
