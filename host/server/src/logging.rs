//! Logs go to stderr, so that stdout contains only the output of commands.

mod log_output;
mod panic_hook;
mod visible_lines;

use std::fmt::{self, Debug};

use anyhow::{Context as _, Result};
use tidegate_core::visible_text::visible;
use tracing::field::Field;
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    field::MakeExt as _,
    fmt::{
        MakeWriter,
        format::{Writer, debug_fn},
    },
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::{
    config::{Config, Log, LogFormat},
    span_export::SpanExport,
};

pub(crate) use log_output::LogOutput;
pub(crate) use panic_hook::print_panics;

/// Starts logging, also of panics, and the export of spans, as configured; `RUST_LOG` overrides the configured level of
/// the log.
pub(crate) fn start(config: &Config) -> Result<(LogOutput, Option<SpanExport>)> {
    let directives = std::env::var(EnvFilter::DEFAULT_ENV);
    let directives = directives.unwrap_or_else(|_| config.log.level.clone());
    let filter = EnvFilter::try_new(&directives)
        .with_context(|| format!("`{directives}` is not a log level or a list of directives"))?;
    let (writer, output) = LogOutput::start(std::io::stderr());
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let lines = lines(&config.log, writer, is_terminal);
    let export = SpanExport::start(&config.telemetry)?;
    panic_hook::log_panics();
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

/// Writes an event as one line in which all texts are visible: devices choose some of them.
fn lines<W>(log: &Log, writer: W, is_terminal: bool) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        // They would be printed to stderr, which panics if it cannot be written.
        .log_internal_errors(false);
    match log.format {
        LogFormat::Human => lines
            .with_writer(writer)
            .with_ansi(is_terminal)
            .fmt_fields(debug_fn(write_field).delimited(" "))
            .boxed(),
        LogFormat::Json => lines
            .with_writer(visible_lines::VisibleJsonLines(writer))
            .json()
            .flatten_event(true)
            .boxed(),
    }
}

fn write_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    let text = format!("{value:?}");
    let text = visible(&text);
    match field.name() {
        "message" => writer.write_str(&text),
        name if writer.has_ansi_escapes() => write!(writer, "\u{1b}[3m{name}\u{1b}[0m={text}"),
        name => write!(writer, "{name}={text}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::Arc};

    use parking_lot::Mutex;
    use tidegate_core::visible_text::is_harmful;

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What a device may have sent.
    const DETAIL: &str =
        "a\r\n2026-01-01 ERROR forged\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{202e}\u{2028}Zürich";

    fn logged(format: LogFormat, is_terminal: bool) -> String {
        let output = Output::default();
        let writer = output.clone();
        let log = Log {
            format,
            level: "info".to_owned(),
        };
        let lines = lines(&log, move || writer.clone(), is_terminal);
        let guard = tidegate_captured_log::set_default(Registry::default().with(lines));
        let span = tracing::error_span!("request", device = %DETAIL);
        span.in_scope(|| tracing::error!(text = DETAIL, shown = %DETAIL, "failed: {DETAIL}"));
        drop(guard);
        let bytes = output.0.lock();
        String::from_utf8(bytes.clone()).expect("UTF-8")
    }

    #[test]
    fn an_event_is_one_line_without_harmful_characters() {
        for (format, is_terminal) in [
            (LogFormat::Human, false),
            (LogFormat::Human, true),
            (LogFormat::Json, false),
        ] {
            let text = logged(format, is_terminal);
            let line = text.strip_suffix('\n').expect("a whole line");
            // What the program itself writes for colours.
            let line = line.replace("\u{1b}[3m", "").replace("\u{1b}[0m", "");
            let line = line.replace("\u{1b}[1m", "").replace("\u{1b}[2m", "");
            let line = line.replace("\u{1b}[31m", "");
            assert!(!line.contains(is_harmful), "{line:?}");
            // In the message, in both fields and in the span, which JSON has twice.
            let expected = if format == LogFormat::Json { 5 } else { 4 };
            assert_eq!(line.matches("forged").count(), expected, "{line:?}");
            assert_eq!(line.matches("Zürich").count(), expected, "{line:?}");
        }
    }

    #[test]
    fn escaped_json_has_the_same_values() {
        let line = logged(LogFormat::Json, false);
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["text"], DETAIL);
        assert_eq!(line["message"], format!("failed: {DETAIL}"));
    }
}
