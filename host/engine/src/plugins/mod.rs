//! Use cases of plugins: upload, list, enable, validate configs.

mod builtins;
mod choice;
mod enable;
mod flush_usage;
mod read;
mod upload;
mod validate;

pub use builtins::install_builtins;
pub use choice::PluginChoice;
pub use enable::enable;
pub use flush_usage::flush_usage;
pub use read::{get, list, newest_enabled, revision};
pub use upload::upload;
pub use validate::validate;
