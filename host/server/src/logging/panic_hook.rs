//! Reports of panics. A panic's message can have text of a device or another server, such as the string that is cut
//! within a character, and Rust's own hook writes it as it is.

use std::{
    backtrace::{Backtrace, BacktraceStatus},
    fmt::Write as _,
    panic::{PanicHookInfo, set_hook},
    thread,
};

use tidegate_core::visible_text::{visible, visible_lines};

/// Makes each panic of this process one event of the log, whose output escapes it.
pub(super) fn log_panics() {
    set_hook(Box::new(log));
}

/// Makes each panic of this process a line on stderr without characters that act on a terminal.
pub(crate) fn print_panics() {
    set_hook(Box::new(|panic| {
        use std::io::Write as _;
        // Without stderr there is no place to report it.
        let _ = writeln!(std::io::stderr(), "{}", text(panic));
    }));
}

fn log(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    // The spans of other requests have route and tenant.
    let request = tidegate_http::running_device_request();
    let tenant = request.and_then(|request| request.tenant);
    tracing::error!(
        panic = message(panic),
        location = panic.location().map(tracing::field::display),
        thread = thread.name(),
        route = request.map(|request| request.route),
        tenant = tenant.map(tracing::field::display),
        backtrace = backtrace().as_ref().map(tracing::field::display),
        "thread panicked"
    );
}

fn text(panic: &PanicHookInfo<'_>) -> String {
    let mut text = "error: panicked".to_owned();
    // A string can be written always.
    if let Some(location) = panic.location() {
        let _ = write!(text, " at {location}");
    }
    let _ = write!(text, ": {}", visible(message(panic)));
    if let Some(backtrace) = backtrace() {
        let _ = write!(text, "\n{}", visible_lines(&backtrace.to_string()));
    }
    text
}

fn message<'a>(panic: &'a PanicHookInfo<'_>) -> &'a str {
    panic.payload_as_str().unwrap_or("without a message")
}

/// If `RUST_BACKTRACE` asks for it.
fn backtrace() -> Option<Backtrace> {
    let backtrace = Backtrace::capture();
    (backtrace.status() == BacktraceStatus::Captured).then_some(backtrace)
}
