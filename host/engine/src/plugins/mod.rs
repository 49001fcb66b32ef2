//! Use cases of plugins: upload, list, change their states, choose defaults, delete, validate configs.

mod change_state;
mod choice;
mod component_files;
mod default;
mod delete;
mod find_revision;
mod flush_usage;
mod folder;
mod install_built_ins;
mod installation;
mod no_default;
mod read;
mod restored_components;
mod upload;
mod validate;

pub use change_state::change_state;
pub use choice::PluginChoice;
pub use default::choose_default;
use default::{invalid_state, require_own_default};
pub use delete::delete;
pub use find_revision::default_of;
pub(crate) use find_revision::{find_revision, revision_by_digest};
pub use flush_usage::flush_usage;
pub use folder::{PluginFolder, install_folder, watch_folder_loop};
pub use install_built_ins::{install_built_ins, install_built_ins_loop};
pub use read::{default_revision, get, list, rejections, revision};
pub use restored_components::RestoredComponents;
pub use upload::upload;
pub use validate::validate;
