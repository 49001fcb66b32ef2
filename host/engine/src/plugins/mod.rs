//! Plugins: their use cases (upload, list, enable, validate configs), and the calls of all other use cases.

mod builtins;
mod calls;
mod choice;
mod enable;
mod read;
mod upload;
mod usage;
mod validate;

pub use builtins::install_builtins;
pub use calls::PluginCalls;
pub use choice::PluginChoice;
pub use enable::enable;
pub use read::{get, list, newest_enabled, revision};
pub use upload::upload;
pub use usage::flush_usage;
pub use validate::validate;
