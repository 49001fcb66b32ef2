use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder, header::AUTHORIZATION};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::HttpResponse;

/// A device that is controlled by a test and uses the device API.
#[derive(Debug, Clone)]
pub struct Device {
    /// DDI's controllerId.
    pub id: String,
    /// The version that it runs and reports.
    pub version: String,
    http: reqwest::Client,
    base: String,
    authorization: Option<String>,
}

/// The response to a poll.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poll {
    /// The whole body.
    pub body: Value,
}

/// The description of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The update's id.
    pub id: String,
    /// The whole body.
    pub body: Value,
}

impl Device {
    /// A device of a tenant on the server at this URL.
    pub fn new(http: reqwest::Client, url: &str, tenant: &str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            version: "1.0.0".to_owned(),
            http,
            base: format!("{url}/{tenant}/controller/v1/{id}"),
            authorization: None,
        }
    }

    /// The same with this `Authorization`: `GatewayToken ...` or `TargetToken ...`.
    #[must_use]
    pub fn authorized(mut self, authorization: impl Into<String>) -> Self {
        self.authorization = Some(authorization.into());
        self
    }

    /// The same without credentials.
    #[must_use]
    pub fn unauthorized(mut self) -> Self {
        self.authorization = None;
        self
    }

    /// A request to a path relative to the device's root resource, or to a whole URL.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path {
            whole if whole.starts_with("http") => whole.to_owned(),
            "" => self.base.clone(),
            path => format!("{}/{path}", self.base),
        };
        let request = self.http.request(method, url);
        match &self.authorization {
            Some(authorization) => request.header(AUTHORIZATION, authorization),
            None => request,
        }
    }

    /// Sends GET.
    pub async fn get(&self, path: &str) -> Result<HttpResponse> {
        HttpResponse::fetch(self.request(Method::GET, path)).await
    }

    /// Polls the root resource.
    pub async fn poll(&self) -> Result<Poll> {
        Ok(Poll {
            body: self.get("").await?.expect_status(200)?.json()?,
        })
    }

    /// Sends attributes, merging them.
    pub async fn report(&self, attributes: Value) -> Result<()> {
        let body = json!({ "mode": "merge", "data": attributes });
        HttpResponse::fetch(self.request(Method::PUT, "configData").json(&body))
            .await?
            .expect_status(200)?;
        Ok(())
    }

    /// Polls for the first time and reports model `edge`, revision 1.0 and its version.
    pub async fn identify(&self) -> Result<()> {
        self.poll().await?;
        self.report(json!({
            "hw_model": "edge",
            "hw_revision": "1.0",
            "sw_version": self.version,
        }))
        .await
    }

    /// Reads the update that a poll offers.
    pub async fn offer(&self) -> Result<Option<Offer>> {
        let poll = self.poll().await?;
        let Some(href) = poll.deployment() else {
            return Ok(None);
        };
        let answer = self.get(href).await?;
        if answer.status == 404 {
            // The update was cancelled after the poll.
            return Ok(None);
        }
        let body = answer.expect_status(200)?.json()?;
        let id = body["id"]
            .as_str()
            .with_context(|| format!("no id: {body}"))?
            .to_owned();
        Ok(Some(Offer { id, body }))
    }

    /// Downloads and verifies all files of an update. Returns false if the update has been cancelled.
    pub async fn download(&self, offer: &Offer) -> Result<bool> {
        for artifact in offer.artifacts() {
            let href = artifact["_links"]["download-http"]["href"].as_str();
            let file = self.get(href.context("no link")?).await?;
            if file.status == 404 && self.poll().await?.cancel().is_some() {
                return Ok(false);
            }
            let file = file.expect_status(200)?;
            ensure!(
                artifact["size"] == file.body.len(),
                "the downloaded file has another size: {artifact}"
            );
            let sha256 = hex::encode(Sha256::digest(&file.body));
            ensure!(
                artifact["hashes"]["sha256"] == sha256,
                "the downloaded file has another sha256: {artifact}"
            );
        }
        Ok(true)
    }

    /// Sends feedback on an update.
    pub async fn feedback(&self, update: &str, body: &Value) -> Result<HttpResponse> {
        let path = format!("deploymentBase/{update}/feedback");
        HttpResponse::fetch(self.request(Method::POST, &path).json(body)).await
    }

    /// Sends feedback on a cancellation.
    pub async fn cancel_feedback(&self, update: &str, body: &Value) -> Result<HttpResponse> {
        let path = format!("cancelAction/{update}/feedback");
        HttpResponse::fetch(self.request(Method::POST, &path).json(body)).await
    }

    /// Polls and installs the offered update, or confirms a cancellation. Returns whether there was something to
    /// do.
    pub async fn install(&mut self) -> Result<bool> {
        if self.confirm_cancel().await? {
            return Ok(true);
        }
        let Some(offer) = self.offer().await? else {
            return Ok(false);
        };
        if !self.download(&offer).await? {
            return self.confirm_cancel().await;
        }
        self.feedback(&offer.id, &feedback("proceeding", "none"))
            .await?
            .expect_status(200)?;
        self.feedback(&offer.id, &close("success"))
            .await?
            .expect_status(200)?;
        offer.version().clone_into(&mut self.version);
        self.report(json!({ "sw_version": self.version })).await?;
        Ok(true)
    }

    /// Polls and fails the offered update with this message, or confirms a cancellation. Returns whether there was
    /// something to do.
    pub async fn fail(&mut self, message: &str) -> Result<bool> {
        if self.confirm_cancel().await? {
            return Ok(true);
        }
        let Some(offer) = self.offer().await? else {
            return Ok(false);
        };
        let mut failed = close("failure");
        failed["status"]["details"] = json!([message]);
        self.feedback(&offer.id, &failed)
            .await?
            .expect_status(200)?;
        Ok(true)
    }

    async fn confirm_cancel(&mut self) -> Result<bool> {
        let poll = self.poll().await?;
        let Some(href) = poll.cancel() else {
            return Ok(false);
        };
        let cancel = self.get(href).await?.expect_status(200)?.json()?;
        let update = cancel["cancelAction"]["stopId"]
            .as_str()
            .context("no stopId")?;
        self.cancel_feedback(update, &close("success"))
            .await?
            .expect_status(200)?;
        Ok(true)
    }
}

impl Poll {
    /// The link to the offered update.
    pub fn deployment(&self) -> Option<&str> {
        self.link("deploymentBase")
    }

    /// The link to the cancellation.
    pub fn cancel(&self) -> Option<&str> {
        self.link("cancelAction")
    }

    /// The link with this name.
    pub fn link(&self, name: &str) -> Option<&str> {
        self.body["_links"][name]["href"].as_str()
    }
}

impl Offer {
    /// The version of the update.
    pub fn version(&self) -> &str {
        self.body["deployment"]["chunks"][0]["version"]
            .as_str()
            .unwrap_or_default()
    }

    /// The files of the update.
    pub fn artifacts(&self) -> impl Iterator<Item = &Value> {
        let chunks = self.body["deployment"]["chunks"]
            .as_array()
            .into_iter()
            .flatten();
        chunks.flat_map(|chunk| chunk["artifacts"].as_array().into_iter().flatten())
    }
}

/// A feedback body.
pub fn feedback(execution: &str, finished: &str) -> Value {
    json!({ "status": { "execution": execution, "result": { "finished": finished } } })
}

/// The body of feedback that closes an update.
pub fn close(finished: &str) -> Value {
    feedback("closed", finished)
}
