use reqwest::{Method, RequestBuilder, StatusCode, Url, header::AUTHORIZATION};
use serde::{Serialize, de::DeserializeOwned};
use tidegate_core::feedback::Feedback;

use crate::{
    Artifact, ConfigData, Confirmation, ConfirmationBase, Credentials, DdiError, Download,
    FeedbackBody, HttpResponse, Offer, Poll, Resource,
    messages::{Cancel, InstalledFirmware, NewAutoConfirm},
    root_path,
};

/// A client of the device API for one device.
///
/// Success is exactly 200, as for the existing clients of hawkBit, unless a method states another status.
#[derive(Debug, Clone)]
pub struct DdiClient {
    http: reqwest::Client,
    /// The URL of the root resource.
    base: String,
    credentials: Credentials,
}

impl DdiClient {
    /// A client without credentials, for a device of a tenant on the server at this URL.
    pub fn new(http: reqwest::Client, server: &str, tenant: &str, device_id: &str) -> Self {
        let server = server.trim_end_matches('/');
        Self {
            http,
            base: format!("{server}{}", root_path(tenant, device_id)),
            credentials: Credentials::Anonymous,
        }
    }

    /// The same client with these credentials.
    #[must_use]
    pub fn with_credentials(self, credentials: Credentials) -> Self {
        Self {
            credentials,
            ..self
        }
    }

    /// The URL of the device's root resource.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The credentials of the device.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Any request: to a path relative to the root resource, which is the empty path, or to a whole URL. A URL on
    /// another server gets no credentials.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let is_url = path.starts_with("http://") || path.starts_with("https://");
        let request = match path {
            url if is_url => self.http.request(method, url),
            "" => self.http.request(method, &self.base),
            path => self.http.request(method, format!("{}/{path}", self.base)),
        };
        match self.credentials.authorization() {
            Some(authorization) if !is_url || self.is_own_origin(path) => {
                request.header(AUTHORIZATION, authorization)
            }
            _ => request,
        }
    }

    /// Whether a URL has the scheme, the host and the port of the server.
    fn is_own_origin(&self, url: &str) -> bool {
        match (Url::parse(url), Url::parse(&self.base)) {
            (Ok(url), Ok(base)) => url.origin() == base.origin(),
            _ => false,
        }
    }

    /// Polls the root resource.
    pub async fn poll(&self) -> Result<Poll, DdiError> {
        self.get("").await
    }

    /// Sends attributes.
    pub async fn config_data(&self, data: &ConfigData) -> Result<(), DdiError> {
        let request = self.request(Method::PUT, &Resource::ConfigData.to_string());
        let response = HttpResponse::fetch(request.json(data)).await?;
        response.expect_status(200).map(drop)
    }

    /// Reads the update that a poll links to: at `deploymentBase`, `confirmationBase` or `installedBase`.
    pub async fn offer(&self, href: &str) -> Result<Offer, DdiError> {
        self.get(href).await
    }

    /// Sends feedback on an update.
    pub async fn feedback(&self, update: &str, feedback: &Feedback) -> Result<(), DdiError> {
        let body = FeedbackBody::from(feedback);
        self.post(Resource::DeploymentFeedback(update), &body).await
    }

    /// Reads the cancellation at a poll's `cancelAction` link. Returns the id of the update to stop.
    pub async fn cancel(&self, href: &str) -> Result<String, DdiError> {
        let cancel: Cancel = self.get(href).await?;
        Ok(cancel.cancel_action.stop_id)
    }

    /// Sends feedback on a cancellation: `closed` accepts it, `rejected` continues the update.
    pub async fn cancel_feedback(&self, update: &str, feedback: &Feedback) -> Result<(), DdiError> {
        let body = FeedbackBody::from(feedback);
        self.post(Resource::CancelFeedback(update), &body).await
    }

    /// Confirms or denies an update.
    pub async fn confirm(&self, update: &str, answer: &Confirmation) -> Result<(), DdiError> {
        let resource = Resource::ConfirmationFeedback(update);
        self.post(resource, answer).await
    }

    /// Reads the state of automatic confirmation, and whether an update waits for confirmation.
    pub async fn confirmation_base(&self) -> Result<ConfirmationBase, DdiError> {
        self.get(&Resource::Confirmations.to_string()).await
    }

    /// Activates automatic confirmation. Succeeds if it is active already.
    pub async fn activate_auto_confirm(
        &self,
        initiator: &str,
        remark: Option<&str>,
    ) -> Result<(), DdiError> {
        let body = NewAutoConfirm { initiator, remark };
        match self.post(Resource::ActivateAutoConfirm, &body).await {
            Err(error) if error.status() == Some(StatusCode::CONFLICT) => Ok(()),
            activated => activated,
        }
    }

    /// Deactivates automatic confirmation. Succeeds if it is not active.
    pub async fn deactivate_auto_confirm(&self) -> Result<(), DdiError> {
        let path = Resource::DeactivateAutoConfirm.to_string();
        let response = HttpResponse::fetch(self.request(Method::POST, &path)).await?;
        response.expect_status(200).map(drop)
    }

    /// Reports a firmware, by its name and version, that was installed without an update. Returns whether that is
    /// new to the server, which then answers 201.
    pub async fn report_installed(&self, name: &str, version: &str) -> Result<bool, DdiError> {
        let body = InstalledFirmware { name, version };
        let path = Resource::InstalledReport.to_string();
        let request = self.request(Method::PUT, &path).json(&body);
        let response = HttpResponse::fetch(request).await?;
        if response.status == StatusCode::CREATED {
            return Ok(true);
        }
        response.expect_status(200).map(|_| false)
    }

    /// A download of a file from its start.
    pub fn download<'a>(&'a self, artifact: &'a Artifact) -> Download<'a> {
        Download::new(self, artifact)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, DdiError> {
        let response = HttpResponse::fetch(self.request(Method::GET, path)).await?;
        response.expect_status(200)?.parse()
    }

    async fn post(&self, resource: Resource<'_>, body: &impl Serialize) -> Result<(), DdiError> {
        let request = self.request(Method::POST, &resource.to_string());
        let response = HttpResponse::fetch(request.json(body)).await?;
        response.expect_status(200).map(drop)
    }
}
