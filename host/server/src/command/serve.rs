use anyhow::{Context as _, Result};
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::{
    config_args::{ConfigArgs, ServeFlags},
    print,
};
use crate::{
    app::{App, Environment, RunningApp},
    config, logging,
    span_export::SpanExport,
};

/// Run the server until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct Serve {
    #[command(flatten)]
    config_args: ConfigArgs,
    #[command(flatten)]
    flags: ServeFlags,
}

impl Serve {
    pub(super) async fn run(self) -> Result<()> {
        let mut config = self.config_args.config()?;
        self.flags.apply(&mut config);
        let span_export = logging::start(&config)?;
        for variable in config::service_variables() {
            tracing::debug!(variable, "ignored a variable of a Kubernetes Service");
        }
        // Registered first, so that a signal during the start also stops the server gracefully.
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;

        let dev = config.dev;
        let app = App::start(config, Environment::default()).await?;
        if dev {
            tracing::warn!(
                "development mode (--dev): devices need no token, and every client can get one; never use it on a network"
            );
        }
        if let Some(key) = &app.first_key {
            print(format_args!(
                "The first admin's key (shown only once): {key}"
            ));
        }
        tracing::info!(addr = %app.addr, version = env!("CARGO_PKG_VERSION"), "listening");
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
        }
        // A second signal stops the server immediately.
        tokio::select! {
            stopped = stop(app, span_export) => stopped?,
            _ = terminate.recv() => anyhow::bail!("stopped before shutdown was complete"),
            _ = interrupt.recv() => anyhow::bail!("stopped before shutdown was complete"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Stops the server, then sends its last spans.
async fn stop(app: RunningApp, span_export: Option<SpanExport>) -> Result<()> {
    let stopped = app.shutdown().await;
    if let Some(span_export) = span_export {
        span_export.shutdown().await;
    }
    stopped
}
