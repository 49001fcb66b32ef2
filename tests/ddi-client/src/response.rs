use std::fmt;

use bytes::Bytes;
use reqwest::{RequestBuilder, Response, StatusCode, header::HeaderMap};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::DdiError;

/// Maximum characters of a body in a message.
const SHOWN_CHARS: usize = 2000;

/// A whole response.
#[derive(Debug, Clone)]
pub struct HttpResponse {
    /// Method and URL of the request, for messages.
    pub request_line: String,
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl HttpResponse {
    /// Sends a request and reads the whole response, whatever its status.
    pub async fn fetch(request: RequestBuilder) -> Result<Self, DdiError> {
        let (request_line, response) = send(request).await?;
        Self::read(request_line, response).await
    }

    pub(crate) async fn read(request_line: String, response: Response) -> Result<Self, DdiError> {
        Ok(Self {
            request_line,
            status: response.status(),
            headers: response.headers().clone(),
            body: response.bytes().await?,
        })
    }

    /// The text of a header field; empty if it is missing or not ASCII.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// The body as text, with replacement characters for what is not UTF-8.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as any JSON.
    pub fn json(&self) -> Result<Value, DdiError> {
        self.parse()
    }

    /// The body as the JSON of a message.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, DdiError> {
        serde_json::from_slice(&self.body).map_err(|source| DdiError::Invalid {
            response: Box::new(self.clone()),
            source,
        })
    }

    /// Fails unless the status is this.
    pub fn expect_status(self, expected: u16) -> Result<Self, DdiError> {
        if self.status == expected {
            return Ok(self);
        }
        Err(DdiError::Status {
            expected,
            response: Box::new(self),
        })
    }
}

/// Sends a request. Returns its method and URL with the response.
pub(crate) async fn send(request: RequestBuilder) -> reqwest::Result<(String, Response)> {
    let (client, request) = request.build_split();
    let request = request?;
    let request_line = format!("{} {}", request.method(), request.url());
    Ok((request_line, client.execute(request).await?))
}

impl fmt::Display for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = self.text().chars().take(SHOWN_CHARS).collect();
        let status = self.status.as_u16();
        write!(f, "{} -> {status} {text}", self.request_line)
    }
}
