//! The bodies of requests and responses.

mod config_data;
mod confirmation;
mod deployment;
mod feedback;
mod poll;

use serde::{Deserialize, Serialize};

pub use config_data::ConfigData;
pub use confirmation::{AutoConfirm, Confirmation, ConfirmationBase};
pub use deployment::{
    ActionHistory, Artifact, Chunk, Deployment, Hashes, MaintenanceWindow, Metadata, Offer,
};
pub use feedback::FeedbackBody;
pub use poll::Poll;

pub(crate) use confirmation::NewAutoConfirm;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Link {
    href: String,
}

fn href(link: Option<&Link>) -> Option<&str> {
    link.map(|link| link.href.as_str())
}

/// The response at `cancelAction`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cancel {
    pub(crate) cancel_action: CancelAction,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CancelAction {
    pub(crate) stop_id: String,
}

/// The body of a report on what is installed.
#[derive(Debug, Serialize)]
pub(crate) struct InstalledFirmware<'a> {
    pub(crate) name: &'a str,
    pub(crate) version: &'a str,
}
