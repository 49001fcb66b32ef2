use std::{io::Write as _, sync::Arc, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use tidegate_engine::chain;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::Instant,
};

use super::config_args::{ConfigArgs, ServeFlags};
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
        let (log_output, span_export) = logging::start(&config)?;
        for variable in config::service_variables() {
            tracing::debug!(variable, "ignored a variable of a Kubernetes Service");
        }
        // Registered first, so that a signal during the start also stops the server gracefully.
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;

        let (dev, grace) = (config.dev, config.shutdown_grace.0);
        let environment = Environment {
            dropped_log_lines: Arc::new(log_output.dropped_lines()),
            ..Environment::default()
        };
        let app = App::start(config, environment).await?;
        if dev {
            tracing::warn!(
                "development mode (--dev): devices need no token, and every client can get one; never use it on a network"
            );
        }
        if let Some(key) = &app.first_key {
            print_first_key(key);
        }
        tracing::info!(addr = %app.addr, version = env!("CARGO_PKG_VERSION"), "listening");
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "stopping"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "stopping"),
        }
        // A second signal stops the server immediately.
        tokio::select! {
            stopped = stop(app, span_export, grace) => stopped?,
            _ = terminate.recv() => anyhow::bail!("stopped before shutdown was complete"),
            _ = interrupt.recv() => anyhow::bail!("stopped before shutdown was complete"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Prints the key; a server whose stdout is closed runs without it.
fn print_first_key(key: &str) {
    let printed = writeln!(
        std::io::stdout(),
        "The first admin's key (shown only once): {key}"
    );
    if let Err(error) = printed {
        tracing::warn!(
            error = %chain(&error),
            "cannot print the first admin's key; create another one with `tidegate key create`"
        );
    }
}

/// Stops the server, then sends its last spans, all within `grace`.
async fn stop(app: RunningApp, span_export: Option<SpanExport>, grace: Duration) -> Result<()> {
    let until = Instant::now() + grace;
    let stopped = app.shutdown().await;
    if let Some(span_export) = span_export {
        let left = until.saturating_duration_since(Instant::now());
        span_export.shutdown(left).await;
    }
    stopped
}
