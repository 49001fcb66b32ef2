//! Use cases of operators on devices: create, list, get, change, delete, explain.

mod auto_confirm;
mod change;
mod create;
mod delete;
mod feedback_log;
mod read;
mod reasons;
mod validate;

pub use auto_confirm::{activate_auto_confirm, deactivate_auto_confirm};
pub use change::{change, validate_change};
pub use create::{DeviceWithToken, create, validate_new};
pub use delete::delete;
pub use feedback_log::{FeedbackLog, feedback_log};
pub use read::{attribute_changes, get, get_stored, list, updates};
pub use reasons::reasons;
