//! Use cases of firmware: upload, list, delete.

mod build_modules;
mod check_versions;
mod delete;
mod fill;
mod get;
mod hardware;
mod image_summary;
mod inspect_image;
mod list;
mod spec;
mod spec_check;
mod upload;
mod upload_error;

pub use delete::delete;
pub use get::{files, get};
pub use hardware::TargetModels;
pub use list::list;
pub use spec::{Checksums, FileSpec, FirmwareSpec, ModuleSpec};
pub use upload::Upload;
