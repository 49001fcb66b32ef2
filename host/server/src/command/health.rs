use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::Url;
use tidegate_core::visible_text::visible;

use super::print;
use crate::{
    client::ConnectionError,
    http_client::{client_builder, read_start},
};

/// Maximum time of the probe.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Maximum length of the server's answer in an error.
const MAX_BODY_BYTES: usize = 1000;

/// A readiness probe for container runtimes; the result is the exit code.
#[derive(Debug, Args)]
pub(super) struct Health {
    /// URL of the server
    #[arg(long, env = "TIDEGATE_URL", default_value = "http://127.0.0.1:8080")]
    url: Url,
}

impl Health {
    pub(super) async fn run(self) -> Result<()> {
        let url = self.url.join("/readyz").context("call the server")?;
        let http = client_builder().timeout(TIMEOUT).build()?;
        let answer = http.get(url).send().await;
        let answer =
            answer.map_err(|error| ConnectionError::from_request(error, &self.url, TIMEOUT))?;
        let status = answer.status();
        if !status.is_success() {
            let body = read_start(answer, MAX_BODY_BYTES).await.unwrap_or_default();
            bail!(
                "the server is not ready ({status}): {}",
                visible(&String::from_utf8_lossy(&body))
            );
        }
        print("ready");
        Ok(())
    }
}
