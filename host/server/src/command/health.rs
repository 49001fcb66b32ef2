use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use reqwest::Url;

use super::print;
use crate::client::ConnectionError;

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
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(3))
            .build()?;
        let answer = http.get(url).send().await.context(ConnectionError)?;
        let status = answer.status();
        if !status.is_success() {
            bail!(
                "the server is not ready ({status}): {}",
                answer.text().await.unwrap_or_default()
            );
        }
        print("ready");
        Ok(())
    }
}
