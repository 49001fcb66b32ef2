use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Method, RequestBuilder, header::CONTENT_TYPE};
use serde_json::Value;
use tidegate_ddi_client::{DdiError, HttpResponse};

/// The readiness probe answers within this time, also while the database does not.
const MAX_PROBE_TIME: Duration = Duration::from_secs(2);

/// A client of the REST API.
#[derive(Debug, Clone)]
pub struct RestClient {
    http: reqwest::Client,
    url: String,
    header: Option<(&'static str, String)>,
}

impl RestClient {
    /// A client without credentials.
    pub fn anonymous(http: reqwest::Client, url: &str) -> Self {
        Self {
            http,
            url: url.to_owned(),
            header: None,
        }
    }

    /// The same client for another server address.
    #[must_use]
    pub fn at(mut self, url: &str) -> Self {
        url.clone_into(&mut self.url);
        self
    }

    /// The same client with an API key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.header = Some(("X-API-Key", key.into()));
        self
    }

    /// The same client with a bearer token.
    #[must_use]
    pub fn with_token(mut self, token: &str) -> Self {
        self.header = Some(("Authorization", format!("Bearer {token}")));
        self
    }

    /// The API key, for a program that the test starts.
    pub fn key(&self) -> Option<&str> {
        match &self.header {
            Some(("X-API-Key", key)) => Some(key),
            _ => None,
        }
    }

    /// A request to a path below `/api/v1`; a path that starts with `/` is relative to the server's root.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.strip_prefix('/') {
            Some(path) => format!("{}/{path}", self.url),
            None => format!("{}/api/v1/{path}", self.url),
        };
        let request = self.http.request(method, url);
        match &self.header {
            Some((name, value)) => request.header(*name, value),
            None => request,
        }
    }

    /// Sends GET.
    pub async fn get(&self, path: &str) -> Result<HttpResponse, DdiError> {
        HttpResponse::fetch(self.request(Method::GET, path)).await
    }

    /// The response of the readiness probe; an error if it is late.
    pub async fn readiness(&self) -> Result<HttpResponse> {
        let started = Instant::now();
        let response = self.get("/readyz").await?;
        let elapsed = started.elapsed();
        ensure!(elapsed < MAX_PROBE_TIME, "answered after {elapsed:?}");
        Ok(response)
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Result<HttpResponse, DdiError> {
        HttpResponse::fetch(self.request(Method::POST, path).json(body)).await
    }

    /// Posts a text, which may be invalid JSON, as `application/json`.
    pub async fn post_text(
        &self,
        path: &str,
        body: impl Into<String>,
    ) -> Result<HttpResponse, DdiError> {
        let request = self
            .request(Method::POST, path)
            .header(CONTENT_TYPE, "application/json");
        HttpResponse::fetch(request.body(body.into())).await
    }

    /// All items of a list, read page by page.
    pub async fn list(&self, path: &str) -> Result<Vec<Value>> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut items = Vec::new();
        loop {
            let page = format!("{path}{joint}limit=500&offset={}", items.len());
            let page = self.get(&page).await?.expect_success()?;
            let part = page["items"]
                .as_array()
                .with_context(|| format!("no items: {page}"))?;
            items.extend(part.iter().cloned());
            let total = page["total"]
                .as_u64()
                .with_context(|| format!("no total: {page}"))?;
            if part.is_empty() || items.len() as u64 >= total {
                return Ok(items);
            }
        }
    }
}

/// Checks of responses of the REST API.
pub trait RestResponse: Sized {
    /// The JSON body of a successful response.
    fn expect_success(self) -> Result<Value>;

    /// Fails unless the response is a valid problem+json with this status and code. Returns the problem.
    fn expect_problem(self, status: u16, code: &str) -> Result<Value>;

    /// Fails unless the response is a valid problem+json. Returns the problem.
    fn expect_any_problem(self) -> Result<Value>;
}

impl RestResponse for HttpResponse {
    fn expect_success(self) -> Result<Value> {
        ensure!(self.status.is_success(), "expected success: {self}");
        Ok(self.json()?)
    }

    fn expect_problem(self, status: u16, code: &str) -> Result<Value> {
        let problem = self.clone().expect_any_problem()?;
        if self.status != status || problem["code"] != code {
            bail!("expected {status} with code {code}: {self}");
        }
        Ok(problem)
    }

    fn expect_any_problem(self) -> Result<Value> {
        let is_error = self.status.is_client_error() || self.status.is_server_error();
        ensure!(is_error, "expected an error: {self}");
        ensure!(
            self.header("content-type") == "application/problem+json",
            "expected problem+json: {self}"
        );
        let problem = self.json()?;
        for (field, good) in [
            ("type", problem["type"].is_string()),
            ("title", problem["title"].is_string()),
            ("status", problem["status"] == self.status.as_u16()),
            (
                "detail",
                problem["detail"]
                    .as_str()
                    .is_some_and(|detail| !detail.is_empty()),
            ),
            (
                "code",
                problem["code"]
                    .as_str()
                    .is_some_and(|code| !code.is_empty()),
            ),
        ] {
            ensure!(good, "the problem's {field} is invalid: {self}");
        }
        Ok(problem)
    }
}
