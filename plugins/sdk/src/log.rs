//! Log lines for operators.

/// Writes a log line for operators. The host keeps 16 KiB per call; native builds discard the line.
pub fn line(text: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::every::tidegate::plugin::log::line(text);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = text;
}

/// Logs a panic before it traps, since a trapped instance cannot report its cause.
#[cfg(target_arch = "wasm32")]
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| line(&panic.to_string())));
}
