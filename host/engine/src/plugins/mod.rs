//! Use cases of plugins: upload, list, enable, validate configs.

mod builtins;
mod enable;
mod read;
mod upload;
mod validate;

pub use builtins::install_builtins;
pub use enable::enable;
pub use read::{get, list, newest_enabled, revision};
pub use upload::upload;
pub use validate::validate;
pub(crate) use validate::validate_config;
