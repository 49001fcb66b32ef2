//! Use cases of plugins: upload, list, enable, validate configs.

mod built_ins;
mod choice;
mod enable;
mod flush_usage;
mod folder;
mod read;
mod upload;
mod validate;

pub(crate) use built_ins::newest_usable;
pub use built_ins::{BuiltIns, InvalidBuiltIns};
pub use choice::PluginChoice;
pub use enable::enable;
pub use flush_usage::flush_usage;
pub use folder::install_folder;
pub use read::{get, list, newest, revision};
pub use upload::upload;
pub use validate::validate;
