//! Logs go to stderr, so that stdout contains only the output of commands.

mod log_output;

use anyhow::{Context as _, Result};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::{
    EnvFilter, Layer, Registry, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

use crate::{
    config::{Config, Log, LogFormat},
    span_export::SpanExport,
};

pub(crate) use log_output::LogOutput;

/// Starts logging, and the export of spans, as configured; `RUST_LOG` overrides the configured level of the log.
pub(crate) fn start(config: &Config) -> Result<(LogOutput, Option<SpanExport>)> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV);
    let directives = directives.unwrap_or_else(|_| config.log.level.clone());
    let filter = EnvFilter::try_new(&directives)
        .with_context(|| format!("`{directives}` is not a log level or a list of directives"))?;
    let (writer, output) = LogOutput::start(std::io::stderr());
    let lines = lines(&config.log, writer);
    let export = SpanExport::start(&config.telemetry)?;
    let started = match &export {
        // A filter of the log's own costs more than one of the whole subscriber.
        None => Registry::default().with(lines).with(filter).try_init(),
        Some(export) => Registry::default()
            .with(lines.with_filter(filter))
            .with(export.layer())
            .try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))?;
    Ok((output, export))
}

fn lines(log: &Log, writer: NonBlocking) -> Box<dyn Layer<Registry> + Send + Sync> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        // They would be printed to stderr, which panics if it cannot be written.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Human => lines
            .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
            .boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    }
}
