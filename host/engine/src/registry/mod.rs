//! Devices as operators see them: made beforehand, listed, looked at.

mod create;
mod get;
mod list;
mod log;
mod updates;

pub use create::{Created, create};
pub use get::get;
pub use list::list;
pub use log::{UpdateLog, log};
pub use updates::updates;
