use anyhow::{Context as _, Result};
use reqwest::{Method, RequestBuilder};
use tidegate_ddi_client::{ConfigData, Credentials, DdiClient, Resource};

use crate::adapter::Target;

/// A device as simulated by the suite.
#[derive(Debug, Clone)]
pub(crate) struct Device {
    pub(crate) id: String,
    pub(crate) client: DdiClient,
}

impl Device {
    pub(crate) fn new(
        http: reqwest::Client,
        target: &Target,
        id: &str,
        credentials: Credentials,
    ) -> Self {
        let Target { url, tenant, .. } = target;
        Self {
            id: id.to_owned(),
            client: DdiClient::new(http, url, tenant, id).with_credentials(credentials),
        }
    }

    /// A request without credentials, to which a case adds what it sends.
    pub(crate) fn request(&self, method: Method, url: &str) -> RequestBuilder {
        let client = self.client.clone();
        client
            .with_credentials(Credentials::Anonymous)
            .request(method, url)
    }

    /// Polls for the first time and reports its attributes.
    pub(crate) async fn identify(&self) -> Result<()> {
        self.client.poll().await?;
        let attributes = [
            ("hw_model", "edge"),
            ("hw_revision", "1.0"),
            ("sw_version", "1.0.0"),
        ];
        self.client
            .config_data(&ConfigData::merge(attributes))
            .await?;
        Ok(())
    }

    /// Whether a poll offers an update, to install or to confirm.
    pub(crate) async fn has_offer(&self) -> Result<bool> {
        let poll = self.client.poll().await?;
        Ok(poll.deployment_base().is_some() || poll.confirmation_base().is_some())
    }

    /// Whether a poll requests a cancellation.
    pub(crate) async fn has_cancellation(&self) -> Result<bool> {
        Ok(self.client.poll().await?.cancel_action().is_some())
    }

    /// Reads its update. Returns the id of the first module.
    pub(crate) async fn fetch_deployment(&self, update: &str) -> Result<Option<String>> {
        let path = Resource::DeploymentBase(update).to_string();
        let offer = self.client.offer(&path).await?;
        let first = offer.deployment.chunks.first();
        let artifact = first.and_then(|chunk| chunk.artifacts.first());
        let link = artifact.and_then(|file| file.http_href().or(file.href()));
        let Some(link) = link else {
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
}
