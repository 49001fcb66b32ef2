//! What the suite needs of a server besides the device API.

mod hawkbit;
mod rest;
mod tidegate;

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;

use crate::bundle::Bundle;

pub use hawkbit::HawkBit;
pub use tidegate::Tidegate;

/// A server under test: its address, and the operator actions that cases need. There is one adapter for each kind
/// of server.
#[async_trait(?Send)]
pub trait Adapter: Sync {
    /// The address and credentials of the device API.
    fn target(&self) -> &Target;

    /// The reason why the adapter does not support a capability; `None` if it does.
    fn unsupported(&self, capability: Capability) -> Option<&'static str>;

    /// Whether the server has this known difference. See [`DIFFERENCES`](crate::DIFFERENCES).
    fn differs(&self, difference: u8) -> bool;

    /// Prepares the tenant: enables authentication by gateway token and by device token.
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Creates a device before its first poll. Returns its token, for `TargetToken`.
    async fn create_device(&self, device: &str) -> Result<String>;

    /// Creates a firmware. Returns the id that [`assign`](Self::assign) takes. `run` keeps the names of different
    /// runs apart: it is appended, after a hyphen, to the names of the firmware and of each module.
    async fn create_firmware(&self, bundle: &Bundle, run: &str) -> Result<String>;

    /// Assigns a firmware to devices that have polled. Returns one update for each device, in the same order.
    async fn assign(
        &self,
        devices: &[String],
        firmware: &str,
        options: AssignmentOptions,
    ) -> Result<Vec<Update>>;

    /// Cancels updates, which are all those of one [`assign`](Self::assign).
    async fn cancel(&self, updates: &[Update]) -> Result<()>;

    /// Ends a cancelling update without the device's confirmation.
    async fn force_cancel(&self, update: &Update) -> Result<()>;

    /// The state of an update, as an operator sees it.
    async fn update_state(&self, update: &Update) -> Result<UpdateState>;

    /// The attributes of a device, as an operator sees them.
    async fn attributes(&self, device: &str) -> Result<BTreeMap<String, String>>;

    /// Requests the attributes of a device again.
    async fn request_attributes(&self, device: &str) -> Result<()>;
}

/// The device API of one tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The server's address, without a trailing slash.
    pub url: String,
    /// The tenant's name as the server itself writes it.
    pub tenant: String,
    /// The token for `GatewayToken`, which authenticates every device.
    pub gateway: String,
    /// Whether the server trusts this host as a proxy and reads its `X-Forwarded-*` fields.
    pub is_proxy: bool,
}

/// One firmware for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The id in the device API.
    pub id: String,
    /// The device's id.
    pub device: String,
    /// What the adapter finds the update by.
    pub adapter_ref: String,
}

/// How a firmware is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AssignmentOptions {
    /// How much the device may decide.
    pub update_type: UpdateType,
    /// Whether the device's user must confirm.
    pub confirmation: bool,
    /// The maintenance window.
    pub window: MaintenanceWindow,
    /// Whether the device may download the files while the window is closed.
    pub prefetch: bool,
    /// Whether success requires that the device reports the new version.
    pub attested: bool,
    /// Which of several updates is offered first.
    pub priority: Priority,
}

/// hawkBit's action types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum UpdateType {
    /// Immediately.
    #[default]
    Forced,
    /// When the device chooses to.
    Soft,
    /// Soft until a time that has passed.
    TimeForcedPast,
    /// Soft until a time that is years away.
    TimeForcedFuture,
    /// Downloaded, but not installed.
    DownloadOnly,
}

/// A maintenance window, relative to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MaintenanceWindow {
    /// No window.
    #[default]
    None,
    /// Open all day.
    Open,
    /// Closed for hours.
    Closed,
}

/// Of two updates for one device, the urgent one is offered first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "the names say it all")]
pub enum Priority {
    #[default]
    Normal,
    Urgent,
}

/// The state of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateState {
    /// Waiting for a confirmation by the device's user.
    WaitingConfirmation,
    /// Offered to the device or in progress.
    Open,
    /// Cancelled by an operator, not yet confirmed by the device.
    Cancelling,
    /// Ended with success.
    Succeeded,
    /// Ended with failure.
    Failed,
    /// Cancelled, and confirmed or forced.
    Cancelled,
}

/// What a case needs and some servers or adapters do not provide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// A connection without TLS, for requests that are sent byte for byte.
    PlainHttp,
    /// A device with a token of its own.
    TargetToken,
    /// Cancelling updates.
    Cancel,
    /// Ending a cancelling update without its device.
    ForceCancel,
    /// Several open updates for one device.
    SeveralUpdates,
    /// Update types other than forced.
    UpdateTypes,
    /// Updates that the device's user must confirm.
    Confirmation,
    /// Maintenance windows.
    MaintenanceWindows,
    /// Downloads while the maintenance window is closed.
    Prefetch,
    /// Updates that succeed when the device reports the new version.
    Attestation,
    /// Modules with metadata that is visible to devices.
    Metadata,
    /// Modules without files.
    ModulesWithoutFiles,
    /// Reading the state of an update.
    UpdateState,
    /// Requesting attributes again.
    RequestAttributes,
    /// Reading the attributes that a device reported.
    Attributes,
    /// Acting as a proxy that the server trusts.
    Proxy,
    /// Acting as a client that the server does not trust as a proxy.
    DirectClient,
    /// A rate limit for each client address outside private networks: hawkBit's 200 reads and 50 writes a second,
    /// or lower.
    RateLimits,
    /// Resource 2, which lists the files of a module.
    FileList,
    /// Resource 11, by which a device reports what is installed.
    InstalledReport,
}
