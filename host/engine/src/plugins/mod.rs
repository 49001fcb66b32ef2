//! Use cases of plugins: upload, list, enable, validate configs.

mod choice;
mod enable;
mod flush_usage;
mod folder;
mod newest_usable;
mod read;
mod upload;
mod validate;

pub use choice::PluginChoice;
pub use enable::enable;
pub use flush_usage::flush_usage;
pub use folder::install_folder;
pub(crate) use newest_usable::newest_usable;
pub use read::{get, list, newest, revision};
pub use upload::upload;
pub use validate::validate;
