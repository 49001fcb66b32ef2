//! Use cases of firmware: upload, list, delete.

mod build_modules;
mod delete;
mod fill;
mod hardware;
mod image_summary;
mod inspect_image;
mod override_notes;
mod read;
mod spec;
mod spec_check;
mod upload;
mod upload_error;

pub use delete::delete;
pub use hardware::TargetModels;
pub use read::{files, get, list};
pub use spec::{Checksums, FileSpec, FirmwareSpec, ModuleSpec};
pub use upload::Upload;
