//! Plugins: taken in, listed, enabled, and tried on configs.

mod builtins;
mod enable;
mod read;
mod take_in;
mod validate;

pub use builtins::{BUILTIN_PUBLISHER, install_builtins};
pub use enable::enable;
pub use read::{get, list, revision};
pub use take_in::take_in;
pub(crate) use validate::ask_about_config;
pub use validate::validate;
