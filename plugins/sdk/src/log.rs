//! Lines for the operator.

/// Writes one line for the operator. The host keeps 16 KiB of lines for a call; in native tests lines go nowhere.
pub fn line(text: &str) {
    #[cfg(target_arch = "wasm32")]
    crate::bindings::every::tidegate::plugin::log::line(text);
    #[cfg(not(target_arch = "wasm32"))]
    let _ = text;
}

/// A trapped instance cannot be asked what went wrong, so a panic says it before it traps.
#[cfg(target_arch = "wasm32")]
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| line(&panic.to_string())));
}
