use anyhow::{Context as _, Result};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde::Serialize;
use tidegate_ddi_client::{
    ConfigData, Credentials, DdiClient, DdiError, Execution, Feedback, FeedbackBody, Finished,
    HttpResponse, Offer, Poll, Resource,
};

/// A device that is controlled by a test and uses the device API.
#[derive(Debug, Clone)]
pub struct Device {
    /// DDI's controllerId.
    pub id: String,
    /// The version that it runs and reports.
    pub version: String,
    client: DdiClient,
}

impl Device {
    /// A device of a tenant on the server at this URL.
    pub fn new(http: reqwest::Client, url: &str, tenant: &str, id: &str) -> Self {
        Self {
            id: id.to_owned(),
            version: "1.0.0".to_owned(),
            client: DdiClient::new(http, url, tenant, id),
        }
    }

    /// The same with these credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self {
            client: self.client.with_credentials(credentials),
            ..self
        }
    }

    /// A request to a path relative to the device's root resource, or to a whole URL.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path)
    }

    /// Sends GET.
    pub async fn get(&self, path: &str) -> Result<HttpResponse, DdiError> {
        HttpResponse::fetch(self.request(Method::GET, path)).await
    }

    /// Polls the root resource.
    pub async fn poll(&self) -> Result<Poll, DdiError> {
        self.client.poll().await
    }

    /// Sends attributes, merging them.
    pub async fn report<const N: usize>(
        &self,
        attributes: [(&str, &str); N],
    ) -> Result<(), DdiError> {
        self.report_config(&ConfigData::merge(attributes)).await
    }

    /// Sends attributes.
    pub async fn report_config(&self, attributes: &ConfigData) -> Result<(), DdiError> {
        self.client.config_data(attributes).await
    }

    /// Polls for the first time and reports model `edge`, revision 1.0 and its version.
    pub async fn identify(&self) -> Result<()> {
        self.poll().await?;
        self.report([
            ("hw_model", "edge"),
            ("hw_revision", "1.0"),
            ("sw_version", &self.version),
        ])
        .await?;
        Ok(())
    }

    /// Reads the update that a poll offers.
    pub async fn offer(&self) -> Result<Option<Offer>> {
        let poll = self.poll().await?;
        let Some(href) = poll.deployment_base() else {
            return Ok(None);
        };
        match self.client.offer(href).await {
            // The update was cancelled after the poll.
            Err(error) if error.status() == Some(StatusCode::NOT_FOUND) => Ok(None),
            offer => Ok(Some(offer?)),
        }
    }

    /// Reads the update that a poll shows as installed.
    pub async fn installed(&self) -> Result<Option<Offer>> {
        let poll = self.poll().await?;
        let Some(href) = poll.installed_base() else {
            return Ok(None);
        };
        Ok(Some(self.client.offer(href).await?))
    }

    /// Downloads and verifies all files of an update. Returns false if the update has been cancelled.
    pub async fn download(&self, offer: &Offer) -> Result<bool> {
        for artifact in offer.artifacts() {
            // For devices without TLS; both links lead to the same file.
            artifact.http_href().context("no link")?;
            match self.client.download(artifact).discard_rest().await {
                Err(error)
                    if error.status() == Some(StatusCode::NOT_FOUND)
                        && self.poll().await?.cancel_action().is_some() =>
                {
                    return Ok(false);
                }
                downloaded => downloaded?,
            }
        }
        Ok(true)
    }

    /// Sends feedback on an update. The test checks the response.
    pub async fn feedback(
        &self,
        update: &str,
        feedback: &Feedback,
    ) -> Result<HttpResponse, DdiError> {
        self.post(
            Resource::DeploymentFeedback(update),
            &FeedbackBody::from(feedback),
        )
        .await
    }

    /// Sends feedback on a cancellation. The test checks the response.
    pub async fn cancel_feedback(
        &self,
        update: &str,
        feedback: &Feedback,
    ) -> Result<HttpResponse, DdiError> {
        self.post(
            Resource::CancelFeedback(update),
            &FeedbackBody::from(feedback),
        )
        .await
    }

    async fn post(
        &self,
        resource: Resource<'_>,
        body: &impl Serialize,
    ) -> Result<HttpResponse, DdiError> {
        let request = self.request(Method::POST, &resource.to_string());
        HttpResponse::fetch(request.json(body)).await
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
        let proceeding = Feedback::new(Execution::Proceeding, Finished::None);
        self.client.feedback(&offer.id, &proceeding).await?;
        let closed = close(Finished::Success);
        self.client.feedback(&offer.id, &closed).await?;
        offer.version().clone_into(&mut self.version);
        self.report([("sw_version", &self.version)]).await?;
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
        let failed = Feedback {
            messages: vec![message.to_owned()],
            ..close(Finished::Failure)
        };
        self.client.feedback(&offer.id, &failed).await?;
        Ok(true)
    }

    async fn confirm_cancel(&mut self) -> Result<bool> {
        let poll = self.poll().await?;
        let Some(href) = poll.cancel_action() else {
            return Ok(false);
        };
        let update = self.client.cancel(href).await?;
        let accepted = close(Finished::Success);
        self.client.cancel_feedback(&update, &accepted).await?;
        Ok(true)
    }
}

/// Feedback that closes an update.
pub fn close(finished: Finished) -> Feedback {
    Feedback::new(Execution::Closed, finished)
}
