//! A client of the device API.

mod messages;

use std::collections::BTreeMap;

use reqwest::{RequestBuilder, Response, StatusCode, header::AUTHORIZATION};
use serde::de::DeserializeOwned;
use serde_json::json;
use sha2::{Digest as _, Sha256};

pub use messages::{Deployment, File, Offer, Poll};

/// The credentials of a device.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Credentials {
    /// No credentials.
    #[default]
    Anonymous,
    /// A device token.
    Target(String),
    /// A gateway token, which is valid for many devices.
    Gateway(String),
}

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum DdiError {
    /// The server could not be reached, or the connection broke.
    #[error("{0}")]
    Network(#[from] reqwest::Error),
    /// The server answered with another status than 200.
    #[error("{method} {path}: {status}")]
    Status {
        /// GET, POST, PUT.
        method: String,
        /// Path of the request.
        path: String,
        /// Status of the response.
        status: StatusCode,
    },
    /// The downloaded bytes do not match the description.
    #[error("{name}: {what}")]
    Corrupt {
        /// The file name.
        name: String,
        /// The difference.
        what: &'static str,
    },
}

impl DdiError {
    /// The status of the response, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Network(error) => error.status(),
            Self::Status { status, .. } => Some(*status),
            Self::Corrupt { .. } => None,
        }
    }

    /// Whether the update no longer exists for this device, so that a retry is useless.
    pub fn is_gone(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::GONE | StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED)
        )
    }
}

/// DDI's `execution`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the values of the device API")]
pub enum Execution {
    Closed,
    Proceeding,
    Rejected,
    Download,
    Downloaded,
}

/// DDI's `result.finished`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the values of the device API")]
pub enum Finished {
    Success,
    Failure,
    None,
}

/// Feedback on an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feedback {
    /// The status of the installation.
    pub execution: Execution,
    /// The result, for `closed`.
    pub finished: Finished,
    /// Finished steps and total steps.
    pub progress: Option<(u32, u32)>,
    /// A code of the device's own.
    pub code: Option<i32>,
    /// Messages.
    pub details: Vec<String>,
}

impl Feedback {
    /// Feedback without progress, code and messages.
    pub fn new(execution: Execution, finished: Finished) -> Self {
        Self {
            execution,
            finished,
            progress: None,
            code: None,
            details: Vec::new(),
        }
    }

    /// The JSON body.
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

/// A client of the device API for one device.
#[derive(Debug, Clone)]
pub struct Ddi {
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

impl Ddi {
    /// A client for a device of a tenant.
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

    /// Polls the root resource.
    pub async fn poll(&self) -> Result<Poll, DdiError> {
        self.get(&self.base).await
    }

    /// Sends attributes, merging them.
    pub async fn config_data(&self, data: &BTreeMap<String, String>) -> Result<(), DdiError> {
        let url = format!("{}/configData", self.base);
        let body = json!({ "mode": "merge", "data": data });
        self.send(self.http.put(url).json(&body)).await.map(drop)
    }

    /// Reads the update at a poll's `deploymentBase` or `confirmationBase` link.
    pub async fn offer(&self, href: &str) -> Result<Offer, DdiError> {
        self.get(href).await
    }

    /// Sends feedback on an update.
    pub async fn feedback(&self, update: &str, feedback: &Feedback) -> Result<(), DdiError> {
        let url = format!("{}/deploymentBase/{update}/feedback", self.base);
        self.send(self.http.post(url).json(&feedback.body()))
            .await
            .map(drop)
    }

    /// Confirms or denies an update.
    pub async fn confirm(&self, update: &str, agrees: bool, why: &str) -> Result<(), DdiError> {
        let url = format!("{}/confirmationBase/{update}/feedback", self.base);
        let word = if agrees { "confirmed" } else { "denied" };
        let body = json!({ "confirmation": word, "details": [why] });
        self.send(self.http.post(url).json(&body)).await.map(drop)
    }

    /// Activates automatic confirmation. Succeeds if it is active already.
    pub async fn activate_auto_confirm(&self, initiator: &str) -> Result<(), DdiError> {
        let url = format!("{}/confirmationBase/activateAutoConfirm", self.base);
        let body = json!({ "initiator": initiator });
        match self.send(self.http.post(url).json(&body)).await {
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Reads the cancellation at a poll's `cancelAction` link. Returns the id of the update.
    pub async fn cancel(&self, href: &str) -> Result<String, DdiError> {
        let cancel: messages::Cancel = self.get(href).await?;
        Ok(cancel.cancel_action.stop_id)
    }

    /// Sends feedback on a cancellation.
    pub async fn cancel_feedback(&self, update: &str, feedback: &Feedback) -> Result<(), DdiError> {
        let url = format!("{}/cancelAction/{update}/feedback", self.base);
        self.send(self.http.post(url).json(&feedback.body()))
            .await
            .map(drop)
    }

    /// Downloads a file without storing it, and checks its size and sha256.
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
            return Err(corrupt("the size does not match the description"));
        }
        let sha256 = hex::encode(hash.finalize());
        if !sha256.eq_ignore_ascii_case(&file.hashes.sha256) {
            return Err(corrupt("the sha256 does not match the description"));
        }
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T, DdiError> {
        Ok(self.send(self.http.get(url)).await?.json().await?)
    }

    /// Sends a request. Only 200 is success, as for existing clients.
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
