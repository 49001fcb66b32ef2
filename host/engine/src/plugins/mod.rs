//! Use cases of plugins: upload, list, enable, validate configs.

mod choice;
mod enable;
mod find_revision;
mod flush_usage;
mod folder;
mod read;
mod upload;
mod validate;

pub use choice::PluginChoice;
pub use enable::enable;
pub(crate) use find_revision::find_revision;
pub use flush_usage::flush_usage;
pub use folder::{install_built_ins, install_folder, install_folder_loop};
pub use read::{get, list, newest, revision};
pub use upload::upload;
pub use validate::validate;
