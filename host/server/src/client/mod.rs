//! A client of the REST API, for the commands that talk to a running server.

mod problem;
pub(crate) mod table;

use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, RequestBuilder, Response, Url, header::CONTENT_TYPE};
use serde_json::Value;

pub(crate) use problem::Problem;

/// Delay before an ended event stream is reopened.
pub(crate) const RECONNECT_DELAY: Duration = Duration::from_secs(1);

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
    /// Print the server's JSON response
    #[arg(long, global = true, help_heading = HEADING)]
    pub(crate) json: bool,
}

/// The server is unreachable or closed the connection.
#[derive(Debug)]
pub(crate) struct ConnectionError;

impl std::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the server cannot be reached")
    }
}

impl std::error::Error for ConnectionError {}

/// A client of one server.
#[derive(Debug, Clone)]
pub(crate) struct RestClient {
    http: reqwest::Client,
    remote: Remote,
}

impl RestClient {
    /// Creates a client without connecting.
    pub(crate) fn new(remote: Remote) -> Result<Self> {
        let http = reqwest::Client::builder()
            .build()
            .context("build the HTTP client")?;
        Ok(Self { http, remote })
    }

    /// Whether to print the server's JSON response.
    pub(crate) fn wants_json(&self) -> bool {
        self.remote.json
    }

    /// Gets a resource or a page of a list.
    pub(crate) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value> {
        json(self.request(Method::GET, path)?.query(query)).await
    }

    /// Creates a resource or runs a command.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        json(self.request(Method::POST, path)?.json(body)).await
    }

    /// Replaces a resource.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        json(self.request(Method::PUT, path)?.json(body)).await
    }

    /// Applies a merge patch.
    pub(crate) async fn patch(&self, path: &str, change: &Value) -> Result<Value> {
        json(self.request(Method::PATCH, path)?.json(change)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        json(self.request(Method::DELETE, path)?).await?;
        Ok(())
    }

    pub(crate) async fn upload(&self, path: &str, form: reqwest::multipart::Form) -> Result<Value> {
        json(self.request(Method::POST, path)?.multipart(form)).await
    }

    /// Opens an event stream, after the event of this id if one is given.
    pub(crate) async fn events(&self, path: &str, after: Option<&str>) -> Result<Response> {
        let mut request = self
            .request(Method::GET, path)?
            .header("accept", "text/event-stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        send(request).await
    }

    fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let base = self.remote.url.as_str().trim_end_matches('/');
        let url = format!("{base}/api/v1/{path}");
        let request = self.http.request(
            method,
            Url::parse(&url).with_context(|| format!("call {url}"))?,
        );
        Ok(match &self.remote.key {
            Some(token) if is_bearer_token(token) => request.bearer_auth(token),
            Some(key) => request.header("X-API-Key", key),
            None => request,
        })
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

async fn json(request: RequestBuilder) -> Result<Value> {
    let text = send(request).await?.text().await.context(ConnectionError)?;
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text).context("read the server's response")
}

/// Sends a request; an unsuccessful response becomes a [`Problem`].
async fn send(request: RequestBuilder) -> Result<Response> {
    let response = request.send().await.context(ConnectionError)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status().as_u16();
    let is_json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().ends_with(b"json"));
    let body = response.text().await.context(ConnectionError)?;
    Err(Problem::read(status, is_json, &body).into())
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
