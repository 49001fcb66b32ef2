//! A client of hawkBit's Direct Device Integration API (DDI), from the device's side.
//!
//! Everything in this repository that acts as a device starts from this crate: the fleet simulator, the end-to-end
//! tests, the conformance suite, the benchmarks, and an agent that runs on a node. Because an agent links it, it has
//! few dependencies: reqwest, serde, the hash of downloads, and `tidegate-core` for the words of the API
//! ([`Execution`], [`Finished`], [`HandlingType`], [`AttributeMode`]).
//!
//! - [`DdiClient`] sends typed requests for one device and fails unless the server accepts them. It neither retries
//!   nor sleeps: when to poll, to repeat feedback and to continue a download is up to the caller.
//! - [`Download`] receives one file, continues after a broken connection, and verifies the bytes.
//! - [`DdiClient::request`] and [`HttpResponse`] send any other request, and give access to the status, the header
//!   fields and the body of the response. Tests use them for requests that a device should not send.
//! - [`Resource`], [`root_path`] and the messages serve load generators that write requests to a socket.
//!
//! Timeouts, proxies, the user agent, trusted authorities and the certificate of a device belong to the
//! [`reqwest::Client`] that the caller provides.

mod client;
mod credentials;
mod download;
mod error;
mod messages;
mod resource;
mod response;

pub use client::DdiClient;
pub use credentials::Credentials;
pub use download::Download;
pub use error::DdiError;
pub use messages::{
    ActionHistory, Artifact, AutoConfirm, Chunk, ConfigData, Confirmation, ConfirmationBase,
    Deployment, FeedbackBody, Hashes, MaintenanceWindow, Metadata, Offer, Poll,
};
pub use resource::{Resource, root_path};
pub use response::HttpResponse;
pub use tidegate_core::{
    device::AttributeMode,
    feedback::{Execution, Feedback, Finished},
    update::HandlingType,
};
