use std::fmt;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::RequestBuilder;
use serde_json::Value;

/// A response of the server.
#[derive(Debug, Clone)]
pub(crate) struct HttpResponse {
    /// Method and URL of the request, for messages.
    pub(crate) request_line: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpResponse {
    /// Sends a request and reads the whole response.
    pub(crate) async fn fetch(request: RequestBuilder) -> Result<Self> {
        let (client, request) = request.build_split();
        let request = request?;
        let request_line = format!("{} {}", request.method(), request.url());
        let response = client
            .execute(request)
            .await
            .with_context(|| request_line.clone())?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response
            .bytes()
            .await
            .with_context(|| request_line.clone())?;
        Ok(Self {
            request_line,
            status,
            headers,
            body,
        })
    }

    /// The text of a header field; empty if it is missing.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, decoded from JSON or CBOR.
    pub(crate) fn json(&self) -> Result<Value> {
        let kind = self
            .header("content-type")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        match kind {
            "application/cbor" => {
                ciborium::from_reader(&self.body[..]).context("the body is not valid CBOR")
            }
            "application/json" | "application/hal+json" => {
                serde_json::from_slice(&self.body).with_context(|| format!("invalid JSON: {self}"))
            }
            other => bail!("the content type is `{other}`, neither JSON nor CBOR"),
        }
    }

    /// The body of a successful response as JSON; null if it is empty.
    pub(crate) fn ok(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("expected success: {self}");
        }
        match &self.body[..] {
            [] => Ok(Value::Null),
            _ => self.json(),
        }
    }
}

impl fmt::Display for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(1500).collect();
        write!(f, "{} -> {} {text}", self.request_line, self.status)
    }
}
