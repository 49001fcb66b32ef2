//! Use cases of operators on devices: create, list, get, change, delete, explain.

mod attribute_changes;
mod auto_confirm;
mod change;
mod create;
mod delete;
mod feedback_log;
mod get;
mod list;
mod reasons;
mod updates;
mod validate;

pub use attribute_changes::attribute_changes;
pub use auto_confirm::{activate_auto_confirm, deactivate_auto_confirm};
pub use change::{change, validate_change};
pub use create::{DeviceWithToken, create, validate_new};
pub use delete::delete;
pub use feedback_log::{FeedbackLog, feedback_log};
pub use get::get;
pub use list::list;
pub use reasons::reasons;
pub use updates::updates;
