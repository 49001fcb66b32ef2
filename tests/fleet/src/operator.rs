use reqwest::{
    Method, RequestBuilder, StatusCode,
    multipart::{Form, Part},
};
use serde_json::{Value, json};

use crate::install_tls;

/// A client of the REST API, which uploads firmware and controls campaigns.
#[derive(Debug, Clone)]
pub struct Operator {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The server could not be reached, or the connection broke.
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    /// The server answered with an error.
    #[error("{method} {path}: {status}: {problem}")]
    Refused {
        /// GET, POST, ...
        method: Method,
        /// Path below `/api/v1/`.
        path: String,
        /// Status of the response.
        status: StatusCode,
        /// The body of the response; null if it is not JSON.
        problem: Value,
    },
}

impl Operator {
    /// An operator without a token.
    pub fn new(url: &str) -> reqwest::Result<Self> {
        install_tls();
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            http,
            base: format!("{}/api/v1", url.trim_end_matches('/')),
            token: None,
        })
    }

    /// The same operator with this bearer token.
    #[must_use]
    pub fn with_token(self, token: impl Into<String>) -> Self {
        Self {
            token: Some(token.into()),
            ..self
        }
    }

    /// Gets a token from a server that runs with `--dev`.
    pub async fn dev_token(&self, user: &str, role: &str) -> Result<String, RestError> {
        let body = json!({
            "user_id": user, "email": format!("{user}@example.com"), "role": role, "expires_in": 86_400,
        });
        let response = self.post("auth/dev-token", &body).await?;
        Ok(response["token"].as_str().unwrap_or_default().to_owned())
    }

    /// Sends GET.
    pub async fn get(&self, path: &str) -> Result<Value, RestError> {
        self.send(Method::GET, path, |request| request).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, RestError> {
        self.send(Method::POST, path, |request| request.json(body))
            .await
    }

    /// All items of a list, read page by page.
    pub async fn list_all(&self, path: &str) -> Result<Vec<Value>, RestError> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let mut items: Vec<Value> = Vec::new();
        loop {
            let page = self
                .get(&format!("{path}{sign}limit=500&offset={}", items.len()))
                .await?;
            let part = page["items"].as_array().map_or(&[][..], Vec::as_slice);
            items.extend(part.iter().cloned());
            if part.is_empty()
                || page["total"]
                    .as_u64()
                    .is_none_or(|total| total <= items.len() as u64)
            {
                return Ok(items);
            }
        }
    }

    /// Uploads a firmware with one file. Returns the firmware.
    pub async fn upload(
        &self,
        metadata: &Value,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<Value, RestError> {
        let text = metadata.to_string();
        self.send(Method::POST, "firmware", |request| {
            // The media type is a valid constant, so this cannot fail.
            let metadata = Part::text(text)
                .mime_str("application/json")
                .unwrap_or_else(|_| Part::text(""));
            let file = Part::bytes(bytes).file_name(name.to_owned());
            request.multipart(Form::new().part("metadata", metadata).part("file", file))
        })
        .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        fill: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Result<Value, RestError> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}/{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = fill(request).send().await?;
        let status = response.status();
        let body = response.bytes().await?;
        let response = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(response);
        }
        Err(RestError::Refused {
            method,
            path: path.to_owned(),
            status,
            problem: response,
        })
    }
}
