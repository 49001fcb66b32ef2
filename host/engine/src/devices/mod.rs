//! What devices do: poll, fetch, report. None of it waits for a plugin.
//!
//! A request goes through [`tenant`] and [`authenticate`] first. Polls are answered from the [`ReadModel`]; whatever
//! changes a device's updates puts the new answer there, or forgets the old one.

mod artifact;
mod attributes;
mod authenticate;
mod authorities;
mod auto_confirm;
mod cancel_action;
mod catalog;
mod deployment;
mod doors;
mod feedback;
mod forget;
mod gateway;
mod groups;
mod installed;
mod log;
mod poll;
mod polling;
mod read_model;
mod record;
mod seen;
mod tenant;
mod view;
mod window;

pub use artifact::{File, artifact, module};
pub use attributes::report_attributes;
pub use authenticate::{Caller, Credential, authenticate};
pub use authorities::authorities;
pub(crate) use auto_confirm::agree;
pub use auto_confirm::{
    ConfirmationBase, activate_auto_confirm, confirmation_base, deactivate_auto_confirm,
};
pub use cancel_action::cancel_action;
pub use catalog::Catalog;
pub use deployment::{Deployment, confirmation, deployment, installed};
pub use doors::Doors;
pub use feedback::{cancel_feedback, confirmation_feedback, feedback};
pub use forget::{forget, forget_all, forget_device, forget_tenants};
pub use installed::report_installed;
pub use log::report_log;
pub use poll::{Polled, poll};
pub use read_model::ReadModel;
pub(crate) use record::record_of;
pub use seen::{SeenLog, flush_seen, keep_seen};
pub use tenant::tenant;
