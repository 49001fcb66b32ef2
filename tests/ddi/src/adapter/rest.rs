use anyhow::{Context as _, Result, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::Value;
use tidegate_ddi_client::HttpResponse;

use crate::{bundle::File, response::DecodeBody as _};

/// A client of an operator API, with the same credentials for every request.
#[derive(Debug, Clone)]
pub(super) struct RestClient {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
}

#[derive(Debug, Clone)]
pub(super) enum Credentials {
    Key(String),
    Password(String, String),
}

impl RestClient {
    pub(super) fn new(base: String, credentials: Credentials) -> Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().build()?,
            base,
            credentials,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: RequestBody<'_>,
    ) -> Result<HttpResponse> {
        let request = self.http.request(method, format!("{}/{path}", self.base));
        let request = match &self.credentials {
            Credentials::Key(key) => request.header("X-API-Key", key),
            Credentials::Password(user, password) => request.basic_auth(user, Some(password)),
        };
        Ok(HttpResponse::fetch(match body {
            RequestBody::Empty => request,
            RequestBody::Json(body) => request.json(body),
            RequestBody::Form(form) => request.multipart(form),
        })
        .await?)
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.send(Method::GET, path, RequestBody::Empty)
            .await?
            .decode_success()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::POST, path, RequestBody::Json(body))
            .await?
            .decode_success()
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PUT, path, RequestBody::Json(body))
            .await?
            .decode_success()
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(Method::PATCH, path, RequestBody::Json(body))
            .await?
            .decode_success()
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value> {
        self.send(Method::DELETE, path, RequestBody::Empty)
            .await?
            .decode_success()
    }

    pub(super) async fn upload(&self, path: &str, form: Form) -> Result<Value> {
        self.send(Method::POST, path, RequestBody::Form(form))
            .await?
            .decode_success()
    }
}

enum RequestBody<'a> {
    Empty,
    Json(&'a Value),
    Form(Form),
}

/// A file as a part of a multipart form.
pub(super) fn file_part(file: &File) -> Result<Part> {
    Ok(Part::bytes(file.bytes)
        .file_name(file.name)
        .mime_str("application/octet-stream")?)
}

/// The number or text at a JSON pointer of a response, as text.
pub(super) fn id_at(body: &Value, pointer: &str) -> Result<String> {
    let value = body
        .pointer(pointer)
        .with_context(|| format!("no {pointer}: {body}"))?;
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    ensure!(!text.is_empty() && !value.is_null(), "no {pointer}: {body}");
    Ok(text)
}
