use super::{
    Access, AutoConfirmation, Campaigns, Devices, Files, Firmwares, Journal, KeyedRequests,
    LatestDevices, Logs, Plugins, Registry, Runs, SingleUpdates, Statistics, Tenants, Updates,
};

/// Everything that is stored. Every method is one transaction; every row belongs to a tenant, and no method that takes
/// a tenant sees another's.
pub trait Store:
    Tenants
    + Access
    + Devices
    + Files
    + KeyedRequests
    + Registry
    + LatestDevices
    + Firmwares
    + Campaigns
    + Runs
    + SingleUpdates
    + Updates
    + AutoConfirmation
    + Journal
    + Logs
    + Plugins
    + Statistics
    + Send
    + Sync
{
}

impl<T> Store for T where
    T: Tenants
        + Access
        + Devices
        + Files
        + KeyedRequests
        + Registry
        + LatestDevices
        + Firmwares
        + Campaigns
        + Runs
        + SingleUpdates
        + Updates
        + AutoConfirmation
        + Journal
        + Logs
        + Plugins
        + Statistics
        + Send
        + Sync
{
}

/// Why something was not stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A rule of uniqueness stands against it; the text names what is there already.
    #[error("{0}")]
    Conflict(String),
    /// The database cannot be reached or is too busy; asking again may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A row or a statement is not as it should be.
    #[error("{context}")]
    Internal {
        /// Verb and object: `read firmware row`.
        context: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
