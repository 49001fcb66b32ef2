use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use tidegate_engine::chain;
use tokio::runtime::Handle;

/// Sends batches with the server's own HTTP client. The export's thread is outside of the runtime, so requests are
/// spawned in it.
#[derive(Debug)]
pub(super) struct CollectorClient {
    http: reqwest::Client,
    runtime: Handle,
    has_failed: AtomicBool,
}

impl CollectorClient {
    pub(super) fn new(timeout: Duration) -> Result<Self> {
        let http = reqwest::Client::builder().timeout(timeout);
        Ok(Self {
            http: http.build().context("set up the client of the collector")?,
            runtime: Handle::current(),
            has_failed: AtomicBool::new(false),
        })
    }

    /// Logs only the first failure and the first success after it: a collector may be unavailable for hours.
    fn log_change(&self, failure: Option<&HttpError>) {
        let had_failed = self.has_failed.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !had_failed => {
                tracing::warn!(error = %chain(&**error), "cannot export spans; retrying with the next ones");
            }
            None if had_failed => tracing::info!("spans are exported again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(send(self.http.clone(), request)).await;
        let sent = sent.unwrap_or_else(|stopped| Err(stopped.into()));
        self.log_change(sent.as_ref().err());
        sent
    }
}

async fn send(
    client: reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let response = client.execute(request.try_into()?).await?;
    let response = response.error_for_status()?;
    let answer = Response::builder().status(response.status());
    Ok(answer.body(response.bytes().await?)?)
}
