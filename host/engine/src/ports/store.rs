use async_trait::async_trait;
use tidegate_core::time::Timestamp;

use super::{
    Access, Campaigns, Clocks, Devices, DynamicPlans, FileLeases, Firmwares, Journal,
    KeyedRequests, LatestDevices, Logs, Plugins, Registry, Runs, SingleUpdates, Statistics,
    StoreError, Tenants, Updates,
};

/// Whether the database can do its work.
#[async_trait]
pub trait DatabaseHealth {
    /// The time of the database, which its servers share. `None`: it has no clock of its own, and one server.
    async fn time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Why it cannot, at the moment. Returns at once.
    fn unhealthy_reason(&self) -> Option<String>;

    /// True while it cannot be reached, or takes no write at all: it has no space, or is read-only. False if it only refuses
    /// some writes, because their rows are locked or invalid. Returns at once.
    fn is_unavailable(&self) -> bool;
}

/// The database. Every method is one transaction. Every row belongs to a tenant, and a method that takes a tenant reads
/// and writes only that tenant's rows. A method that changes something for an actor takes the context of the request, and
/// writes a row of the audit trail in the same transaction; it writes none if nothing changes.
pub trait Store:
    Tenants
    + Access
    + Devices
    + FileLeases
    + KeyedRequests
    + Registry
    + LatestDevices
    + DynamicPlans
    + Firmwares
    + Campaigns
    + Runs
    + Clocks
    + SingleUpdates
    + Updates
    + Journal
    + Logs
    + Plugins
    + Statistics
    + DatabaseHealth
    + Send
    + Sync
{
}

impl<T> Store for T where
    T: Tenants
        + Access
        + Devices
        + FileLeases
        + KeyedRequests
        + Registry
        + LatestDevices
        + DynamicPlans
        + Firmwares
        + Campaigns
        + Runs
        + Clocks
        + SingleUpdates
        + Updates
        + Journal
        + Logs
        + Plugins
        + Statistics
        + DatabaseHealth
        + Send
        + Sync
{
}
