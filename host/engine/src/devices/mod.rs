//! Use cases of devices: poll, download, report. None of them waits for a plugin.
//!
//! Requests pass [`tenant`] and [`authenticate`] first. Polls are answered from the read model in
//! [`Caches`](crate::Caches); every change of a device's updates replaces or drops its entry.

mod artifact;
mod authenticate;
mod authorities;
mod auto_confirm;
mod caller_view;
mod deployment;
mod device_wait;
mod feedback;
mod fetch;
mod gateway;
mod groups;
mod last_seen;
mod poll;
mod poll_view;
mod polling;
mod record;
mod reports;
mod retrieval;
mod tenant;
mod window;

pub use artifact::{ArtifactDownload, artifact, module};
pub use authenticate::{Caller, DeviceCredential, authenticate};
pub use authorities::authorities;
pub use auto_confirm::{
    ConfirmationState, activate_auto_confirm, confirmation_base, deactivate_auto_confirm,
};
pub use caller_view::is_registered;
pub use deployment::{
    Deployment, check_cancel_action, confirmation, deployment, installed_deployment,
};
pub use device_wait::DeviceWait;
pub use feedback::{record_cancel_feedback, record_confirmation_feedback, record_feedback};
pub use last_seen::{flush_last_seen, flush_last_seen_loop};
pub use poll::{PollResponse, poll};
pub use reports::{report_attributes, report_installed, report_log};
pub use retrieval::flush_retrievals;
pub use tenant::tenant;
