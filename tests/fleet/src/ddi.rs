//! The device API as a device speaks it.

mod messages;

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, Response, StatusCode, header::AUTHORIZATION};
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest as _, Sha256};

pub use messages::{Deployment, File, Offer, Poll};

/// How a device shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// Not at all.
    #[default]
    Anonymous,
    /// By its own token.
    Target(String),
    /// By the token of a gateway that speaks for many.
    Gateway(String),
}

/// Why a request had no good answer.
#[derive(Debug, thiserror::Error)]
pub enum DdiError {
    /// The server was not reached, or broke off.
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    /// The server answered something else.
    #[error("{method} {path}: {status}")]
    Status {
        /// GET, POST, PUT.
        method: String,
        /// Of the request.
        path: String,
        /// Of the answer.
        status: StatusCode,
    },
    /// The bytes that came are not those that were announced.
    #[error("{name}: {what}")]
    Corrupt {
        /// The file.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl DdiError {
    /// The status that the server answered with.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Network(error) => error.status(),
            Self::Status { status, .. } => Some(*status),
            Self::Corrupt { .. } => None,
        }
    }

    /// Whether the update is gone, so that there is no use in trying again.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        )
    }
}

/// DDI's `execution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the device API")]
pub enum Execution {
    Closed,
    Proceeding,
    Rejected,
    Download,
    Downloaded,
}

/// DDI's `result.finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words of the device API")]
pub enum Finished {
    Success,
    Failure,
    None,
}

/// What a device reports of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// What it does.
    pub execution: Execution,
    /// How it went.
    pub finished: Finished,
    /// "n of m".
    pub progress: Option<(u32, u32)>,
    /// Its own code.
    pub code: Option<i32>,
    /// In words.
    pub details: Vec<String>,
}

impl Feedback {
    /// A report without progress, code and words.
    pub fn new(execution: Execution, finished: Finished) -> Self {
        Self {
            execution,
            finished,
            progress: None,
            code: None,
            details: Vec::new(),
        }
    }

    /// As it goes over the wire.
    pub fn body(&self) -> serde_json::Value {
        let execution = match self.execution {
            Execution::Closed => "closed",
            Execution::Proceeding => "proceeding",
            Execution::Rejected => "rejected",
            Execution::Download => "download",
            Execution::Downloaded => "downloaded",
        };
        let finished = match self.finished {
            Finished::Success => "success",
            Finished::Failure => "failure",
            Finished::None => "none",
        };
        let mut result = json!({ "finished": finished });
        if let Some((done, of)) = self.progress {
            result["progress"] = json!({ "cnt": done, "of": of });
        }
        let mut status =
            json!({ "execution": execution, "result": result, "details": self.details });
        if let Some(code) = self.code {
            status["code"] = code.into();
        }
        json!({ "status": status })
    }
}

/// One device's end of the device API.
#[derive(Debug, Clone)]
pub struct Ddi {
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

impl Ddi {
    /// A device of a tenant, at a server.
    pub fn new(
        http: reqwest::Client,
        url: &str,
        tenant: &str,
        device_id: &str,
        credentials: &Credentials,
    ) -> Self {
        Self {
            http,
            base: format!(
                "{}/{tenant}/controller/v1/{device_id}",
                url.trim_end_matches('/')
            ),
            authorization: match credentials {
                Credentials::Anonymous => None,
                Credentials::Target(token) => Some(format!("TargetToken {token}")),
                Credentials::Gateway(token) => Some(format!("GatewayToken {token}")),
            },
        }
    }

    /// Asks what there is to do.
    pub async fn poll(&self) -> Result<Poll, DdiError> {
        self.get(&self.base).await
    }

    /// Reports what the device is.
    pub async fn config_data(&self, data: &BTreeMap<String, String>) -> Result<(), DdiError> {
        let url = format!("{}/configData", self.base);
        let body = json!({ "mode": "merge", "data": data });
        self.send(self.http.put(url).json(&body)).await.map(drop)
    }

    /// Fetches the update behind a poll's `deploymentBase`.
    pub async fn offer(&self, href: &str) -> Result<Offer, DdiError> {
        self.get(href).await
    }

    /// Reports on an update.
    pub async fn feedback(&self, update: &str, feedback: &Feedback) -> Result<(), DdiError> {
        let url = format!("{}/deploymentBase/{update}/feedback", self.base);
        self.send(self.http.post(url).json(&feedback.body()))
            .await
            .map(drop)
    }

    /// Answers whether an update may begin.
    pub async fn confirm(&self, update: &str, agrees: bool, why: &str) -> Result<(), DdiError> {
        let url = format!("{}/confirmationBase/{update}/feedback", self.base);
        let word = if agrees { "confirmed" } else { "denied" };
        let body = json!({ "confirmation": word, "details": [why] });
        self.send(self.http.post(url).json(&body)).await.map(drop)
    }

    /// Agrees to all updates beforehand. That it did so already is fine.
    pub async fn activate_auto_confirm(&self, initiator: &str) -> Result<(), DdiError> {
        let url = format!("{}/confirmationBase/activateAutoConfirm", self.base);
        let body = json!({ "initiator": initiator });
        match self.send(self.http.post(url).json(&body)).await {
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Fetches the call back behind a poll's `cancelAction`; answers which update is meant.
    pub async fn cancel(&self, href: &str) -> Result<String, DdiError> {
        let cancel: messages::Cancel = self.get(href).await?;
        Ok(cancel.cancel_action.stop_id)
    }

    /// Answers a call back.
    pub async fn cancel_feedback(&self, update: &str, feedback: &Feedback) -> Result<(), DdiError> {
        let url = format!("{}/cancelAction/{update}/feedback", self.base);
        self.send(self.http.post(url).json(&feedback.body()))
            .await
            .map(drop)
    }

    /// Downloads a file, keeping none of it, and checks its length and sha256.
    pub async fn download(&self, file: &File) -> Result<(), DdiError> {
        let mut response = self.send(self.http.get(file.href())).await?;
        let (mut length, mut hash) = (0, Sha256::new());
        while let Some(chunk) = response.chunk().await? {
            length += chunk.len() as u64;
            hash.update(&chunk);
        }
        let corrupt = |what| DdiError::Corrupt {
            name: file.filename.clone(),
            what,
        };
        if length != file.size {
            return Err(corrupt("it has not the length that was announced"));
        }
        let sha256 = hex::encode(hash.finalize());
        if !sha256.eq_ignore_ascii_case(&file.hashes.sha256) {
            return Err(corrupt("its sha256 is not the one that was announced"));
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, DdiError> {
        Ok(self.send(self.http.get(url)).await?.json().await?)
    }

    /// Sends a request; success is exactly 200, as for the clients that exist.
    async fn send(&self, mut request: RequestBuilder) -> Result<Response, DdiError> {
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let (client, request) = request.build_split();
        let request = request?;
        let (method, path) = (
            request.method().to_string(),
            request.url().path().to_owned(),
        );
        let response = client.execute(request).await?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        Err(DdiError::Status {
            method,
            path,
            status,
        })
    }
}
