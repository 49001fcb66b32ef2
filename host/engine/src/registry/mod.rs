//! Devices as operators see them: made beforehand, listed, looked at, changed, deleted.

mod attribute_changes;
mod auto_confirm;
mod change;
mod create;
mod delete;
mod get;
mod list;
mod log;
mod reasons;
mod rules;
mod updates;

pub use attribute_changes::attribute_changes;
pub use auto_confirm::{activate_auto_confirm, deactivate_auto_confirm};
pub use change::change;
pub use create::{Created, create};
pub use delete::delete;
pub use get::get;
pub use list::list;
pub use log::{UpdateLog, log};
pub use reasons::reasons;
pub use updates::updates;
