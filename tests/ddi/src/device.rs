use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, RequestBuilder, header::AUTHORIZATION};
use serde_json::{Value, json};

use crate::{adapter::Target, response::HttpResponse};

/// A device as simulated by the suite.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) id: String,
    /// The URL of its root resource.
    pub(crate) base: String,
    /// `GatewayToken ...` or `TargetToken ...`.
    pub(crate) authorization: String,
    http: reqwest::Client,
}

impl Device {
    pub(crate) fn new(
        http: reqwest::Client,
        target: &Target,
        id: &str,
        authorization: String,
    ) -> Self {
        let Target { url, tenant, .. } = target;
        let base = format!("{url}/{tenant}/controller/v1/{id}");
        Self {
            id: id.to_owned(),
            base,
            authorization,
            http,
        }
    }

    /// A request without credentials.
    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.http.request(method, url)
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = if path.is_empty() {
            self.base.clone()
        } else {
            format!("{}/{path}", self.base)
        };
        let mut request = self
            .http
            .request(method, url)
            .header(AUTHORIZATION, &self.authorization);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = HttpResponse::fetch(request).await?;
        ensure!(response.status == 200, "expected 200: {response}");
        response.ok()
    }

    pub(crate) async fn poll(&self) -> Result<Value> {
        self.send(Method::GET, "", None).await
    }

    /// Polls for the first time and reports its attributes.
    pub(crate) async fn identify(&self) -> Result<()> {
        self.poll().await?;
        let data = json!({ "hw_model": "edge", "hw_revision": "1.0", "sw_version": "1.0.0" });
        self.send(Method::PUT, "configData", Some(&json!({ "data": data })))
            .await?;
        Ok(())
    }

    /// Whether a poll has one of these links.
    pub(crate) async fn has_any_link(&self, links: &[&str]) -> Result<bool> {
        let poll = self.poll().await?;
        Ok(links.iter().any(|link| !poll["_links"][link].is_null()))
    }

    /// Reads its update. Returns the id of the first module.
    pub(crate) async fn fetch_deployment(&self, update: &str) -> Result<Option<String>> {
        let offer = self
            .send(Method::GET, &format!("deploymentBase/{update}"), None)
            .await?;
        let file = &offer["deployment"]["chunks"][0]["artifacts"][0];
        let link = file["_links"]["download-http"]["href"].as_str();
        let Some(link) = link.or(file["_links"]["download"]["href"].as_str()) else {
            return Ok(None);
        };
        let module = link
            .split("/softwaremodules/")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        Ok(Some(
            module
                .context("the link to a file contains no module id")?
                .to_owned(),
        ))
    }

    /// Sends feedback to `deploymentBase` or `cancelAction`.
    pub(crate) async fn send_feedback(
        &self,
        resource: &str,
        update: &str,
        execution: &str,
        finished: &str,
    ) -> Result<()> {
        let body =
            json!({ "status": { "execution": execution, "result": { "finished": finished } } });
        self.send(
            Method::POST,
            &format!("{resource}/{update}/feedback"),
            Some(&body),
        )
        .await?;
        Ok(())
    }
}
