//! Firmware: uploaded, listed, deleted.

mod agree;
mod check;
mod claims;
mod delete;
mod fill;
mod get;
mod hardware;
mod image;
mod list;
mod said;
mod upload;

pub use claims::{Checksums, Claims, Contents, ModuleContents};
pub use delete::delete;
pub use get::{files, get};
pub use hardware::NamedModels;
pub use list::list;
pub use upload::Upload;
