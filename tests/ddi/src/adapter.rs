//! What the suite needs of a server beside the device API.

mod hawkbit;
mod rest;
mod tidegate;

use std::collections::BTreeMap;

use anyhow::Result;
use async_trait::async_trait;

use crate::bundle::Bundle;

pub use hawkbit::HawkBit;
pub use tidegate::Tidegate;

/// A server under test: where it is, and how its operator does what cases need. One for each kind of server.
#[async_trait(?Send)]
pub trait Adapter: Sync {
    /// Where the devices turn to.
    fn target(&self) -> &Target;

    /// Why cases that need this cannot be run; none: they can.
    fn unsupported(&self, capability: Capability) -> Option<&'static str>;

    /// Whether the server is known to be different on purpose in this. See [`DIFFERENCES`](crate::DIFFERENCES).
    fn differs(&self, difference: u8) -> bool;

    /// Makes the tenant ready: devices are let in by the gateway's token and by their own.
    async fn prepare(&self) -> Result<()> {
        Ok(())
    }

    /// Makes a device before it is first seen; answers the token that it shows as `TargetToken`.
    async fn create_device(&self, device: &str) -> Result<String>;

    /// Makes a firmware; answers how [`assign`](Self::assign) calls it. `run` keeps names apart from those of other
    /// runs: it stands at the end of the firmware's name and of each module's, after a hyphen.
    async fn create_firmware(&self, bundle: &Bundle, run: &str) -> Result<String>;

    /// Assigns a firmware to devices that have polled; answers an update for each, in their order.
    async fn assign(
        &self,
        devices: &[String],
        firmware: &str,
        options: AssignmentOptions,
    ) -> Result<Vec<Update>>;

    /// Calls updates back. They are all those of one [`assign`](Self::assign).
    async fn cancel(&self, updates: &[Update]) -> Result<()>;

    /// Ends an update that is called back without waiting for its device.
    async fn force_cancel(&self, update: &Update) -> Result<()>;

    /// Where an update stands, as an operator sees it.
    async fn update_state(&self, update: &Update) -> Result<UpdateState>;

    /// What a device has said of itself, as an operator sees it.
    async fn attributes(&self, device: &str) -> Result<BTreeMap<String, String>>;

    /// Asks a device for its attributes again.
    async fn request_attributes(&self, device: &str) -> Result<()>;
}

/// Where the devices of one tenant turn to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Without a slash at its end.
    pub url: String,
    /// As the server itself writes it.
    pub tenant: String,
    /// What a gateway shows as `GatewayToken`, which lets any device in.
    pub gateway: String,
    /// Whether the server takes whoever is here for a proxy that it trusts, and believes its `X-Forwarded-*`.
    pub is_proxy: bool,
}

/// One firmware for one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// As the device knows it.
    pub id: String,
    /// Its device.
    pub device: String,
    /// Whatever the adapter finds it by.
    pub adapter_ref: String,
}

/// On what terms a firmware is assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct AssignmentOptions {
    /// How much the device may choose.
    pub update_type: UpdateType,
    /// Whether the device's user has to agree.
    pub confirmation: bool,
    /// The maintenance window.
    pub window: MaintenanceWindow,
    /// Whether the device may fetch the files while the window is closed.
    pub prefetch: bool,
    /// Whether the device has to prove that it runs it, by reporting its version.
    pub attested: bool,
    /// Which of several goes first.
    pub priority: Priority,
}

/// hawkBit's action types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum UpdateType {
    /// Now.
    #[default]
    Forced,
    /// When the device likes.
    Soft,
    /// Soft until a time that has come.
    TimeForcedPast,
    /// Soft until a time that is years away.
    TimeForcedFuture,
    /// Fetched, and not installed.
    DownloadOnly,
}

/// A maintenance window, seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MaintenanceWindow {
    /// None at all.
    #[default]
    None,
    /// Open all day.
    Open,
    /// Closed for hours.
    Closed,
}

/// Of two updates for one device, the urgent one goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[expect(missing_docs, reason = "they say what they are")]
pub enum Priority {
    #[default]
    Normal,
    Urgent,
}

/// Where an update stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateState {
    /// Waits for the device's user.
    WaitingConfirmation,
    /// The device is at it, or could be.
    Open,
    /// Called back; the device has not answered.
    Cancelling,
    /// It came to its good end.
    Succeeded,
    /// It came to its bad end.
    Failed,
    /// It was called back.
    Cancelled,
}

/// What a case needs that not every server has, or not every adapter can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// A connection without TLS, on which bytes are sent as they stand in the case.
    PlainHttp,
    /// A device with a token of its own.
    TargetToken,
    /// Calling updates back.
    Cancel,
    /// Ending an update that is called back without its device.
    ForceCancel,
    /// Several updates for one device at a time.
    SeveralUpdates,
    /// Other kinds of update than forced ones.
    UpdateTypes,
    /// Updates that the device's user has to agree to.
    Confirmation,
    /// Maintenance windows.
    MaintenanceWindows,
    /// Files that may be fetched while the window is closed.
    Prefetch,
    /// An update that is done when its device reports the version.
    Attestation,
    /// Modules with metadata that devices see.
    Metadata,
    /// Modules without files.
    ModulesWithoutFiles,
    /// Reading where an update stands.
    UpdateState,
    /// Asking for attributes again.
    RequestAttributes,
    /// Reading the attributes that a device reported.
    Attributes,
    /// Speaking to the server as a proxy that it trusts.
    Proxy,
    /// Speaking to the server as one that it does not take for a proxy.
    DirectClient,
    /// A limit of requests for each client address outside private networks: hawkBit's 200 reads and 50 writes a second,
    /// or a lower one.
    RateLimits,
    /// Resource 2, which lists the files of a module.
    FileList,
    /// Resource 11, by which a device tells what it has installed.
    InstalledReport,
}
