use std::fmt;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http::HeaderMap;
use reqwest::RequestBuilder;
use serde_json::Value;

/// What the server answered.
#[derive(Debug, Clone)]
pub(crate) struct HttpResponse {
    /// What was asked, for messages.
    pub(crate) request_line: String,
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpResponse {
    /// Sends a request and reads the whole answer.
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

    /// A header field's text; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body, whether it came as JSON or as CBOR.
    pub(crate) fn json(&self) -> Result<Value> {
        let kind = self
            .header("content-type")
            .split(';')
            .next()
            .unwrap_or_default()
            .trim();
        match kind {
            "application/cbor" => {
                ciborium::from_reader(&self.body[..]).context("the body is no CBOR")
            }
            "application/json" | "application/hal+json" => {
                serde_json::from_slice(&self.body).with_context(|| format!("{self} is no JSON"))
            }
            other => bail!("the body is `{other}`, no JSON and no CBOR"),
        }
    }

    /// It has a status of success; the body as JSON, null where there is none.
    pub(crate) fn ok(&self) -> Result<Value> {
        if !(200..300).contains(&self.status) {
            bail!("success was expected: {self}");
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
