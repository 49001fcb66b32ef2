use std::{io::Write as _, sync::Arc, thread, time::Duration};

use anyhow::{Context as _, Result};
use clap::Args;
use tidegate_engine::chain;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
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
        let mut stop_signals = StopSignals::listen()?;

        let (dev, shutdown_grace) = (config.dev, config.shutdown_grace.0);
        let environment = Environment {
            dropped_log_lines: Arc::new(log_output.dropped_lines()),
            ..Environment::default()
        };
        let app = tokio::select! {
            app = App::start(config, environment) => app?,
            signal = stop_signals.next() => {
                // A start can be interrupted as by a power cut: it has accepted no request.
                end_process_after(shutdown_grace)?;
                tracing::info!(signal, "stopped before the start was complete");
                return Ok(());
            }
        };
        if dev {
            tracing::warn!(
                "development mode (--dev): devices need no token, and every client can get one"
            );
        }
        if let Some(key) = &app.first_key {
            print_first_key(key);
        }
        if let Some(addr) = app.metrics_addr {
            tracing::info!(%addr, "listening for metrics");
        }
        tracing::info!(addr = %app.addr, version = env!("CARGO_PKG_VERSION"), "listening");
        let signal = stop_signals.next().await;
        end_process_after(shutdown_grace)?;
        tracing::info!(signal, "stopping");
        // A second signal stops the server immediately.
        tokio::select! {
            stopped = stop(app, span_export, shutdown_grace * 9 / 10) => stopped?,
            _ = stop_signals.next() => anyhow::bail!("stopped before shutdown was complete"),
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// The signals that stop the server.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("listen for SIGINT")?,
        })
    }

    /// The name of the next signal.
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

/// Ends the process after this time, whatever hangs: a request, a file, or the threads of the runtime. So the time is
/// measured by a thread of its own. [`RunningApp::shutdown`] normally ends earlier, and logs what hangs.
fn end_process_after(grace: Duration) -> Result<()> {
    let timer = move || {
        thread::sleep(grace);
        std::process::exit(1);
    };
    thread::Builder::new()
        .name("shutdown-timer".to_owned())
        .spawn(timer)
        .context("start the timer of the shutdown")?;
    Ok(())
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
