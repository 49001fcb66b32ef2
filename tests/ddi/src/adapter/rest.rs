use anyhow::{Context as _, Result, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::Value;

use crate::{answer::Answer, bundle::File};

/// An operator's way in: every request with the same credentials.
#[derive(Debug, Clone)]
pub(super) struct Rest {
    http: reqwest::Client,
    base: String,
    credentials: Credentials,
}

#[derive(Debug, Clone)]
pub(super) enum Credentials {
    Key(String),
    Password(String, String),
}

impl Rest {
    pub(super) fn new(base: String, credentials: Credentials) -> Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder().build()?,
            base,
            credentials,
        })
    }

    async fn answer(&self, method: Method, path: &str, sent: Sent<'_>) -> Result<Answer> {
        let request = self.http.request(method, format!("{}/{path}", self.base));
        let request = match &self.credentials {
            Credentials::Key(key) => request.header("X-API-Key", key),
            Credentials::Password(user, password) => request.basic_auth(user, Some(password)),
        };
        Answer::of(match sent {
            Sent::Nothing => request,
            Sent::Json(body) => request.json(body),
            Sent::Form(form) => request.multipart(form),
        })
        .await
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value> {
        self.answer(Method::GET, path, Sent::Nothing).await?.ok()
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(Method::POST, path, Sent::Json(body))
            .await?
            .ok()
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(Method::PUT, path, Sent::Json(body)).await?.ok()
    }

    pub(super) async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(Method::PATCH, path, Sent::Json(body))
            .await?
            .ok()
    }

    pub(super) async fn delete(&self, path: &str) -> Result<Value> {
        self.answer(Method::DELETE, path, Sent::Nothing).await?.ok()
    }

    pub(super) async fn upload(&self, path: &str, form: Form) -> Result<Value> {
        self.answer(Method::POST, path, Sent::Form(form))
            .await?
            .ok()
    }
}

enum Sent<'a> {
    Nothing,
    Json(&'a Value),
    Form(Form),
}

/// A file as a part of a form.
pub(super) fn part(file: &File) -> Result<Part> {
    Ok(Part::bytes(file.bytes)
        .file_name(file.name)
        .mime_str("application/octet-stream")?)
}

/// The number or text at a place of an answer, as text.
pub(super) fn id(body: &Value, pointer: &str) -> Result<String> {
    let value = body
        .pointer(pointer)
        .with_context(|| format!("no {pointer}: {body}"))?;
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    ensure!(!text.is_empty() && !value.is_null(), "no {pointer}: {body}");
    Ok(text)
}
