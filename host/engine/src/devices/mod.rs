//! Use cases of devices: poll, download, report. None of them waits for a plugin.
//!
//! Requests pass [`tenant`] and [`authenticate`] first. Polls are answered from the [`ReadModel`]; every change of a
//! device's updates replaces or drops its entry.

mod artifact;
mod attributes;
mod auth_cache;
mod authenticate;
mod authorities;
mod auto_confirm;
mod caches;
mod caller_view;
mod cancel_action;
mod deployment;
mod feedback;
mod firmware_cache;
mod gateway;
mod groups;
mod installed;
mod last_seen;
mod log;
mod poll;
mod poll_view;
mod polling;
mod read_model;
mod record;
mod tenant;
mod window;

pub use artifact::{ArtifactDownload, artifact, module};
pub use attributes::report_attributes;
pub(crate) use auth_cache::AuthCache;
pub use authenticate::{Caller, Credential, authenticate};
pub use authorities::authorities;
pub use auto_confirm::{
    ConfirmationBase, activate_auto_confirm, confirmation_base, deactivate_auto_confirm,
};
pub use caches::Caches;
pub use cancel_action::check_cancel_action;
pub use deployment::{Deployment, confirmation, deployment, installed_deployment};
pub use feedback::{record_cancel_feedback, record_confirmation_feedback, record_feedback};
pub(crate) use firmware_cache::FirmwareCache;
pub use installed::report_installed;
pub use last_seen::{LastSeenBuffer, flush_last_seen, flush_last_seen_loop};
pub use log::report_log;
pub use poll::{PollResponse, poll};
pub(crate) use read_model::ReadModel;
pub use tenant::tenant;
