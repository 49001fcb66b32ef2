//! The store: every port of the engine, delegated to the module of its tables.

mod access;
mod campaigns;
mod clocks;
mod devices;
mod dynamic_plans;
mod file_leases;
mod firmware;
mod journal;
mod keyed_requests;
mod latest;
mod logs;
mod plugins;
mod registry;
mod runs;
mod single_updates;
mod stats;
mod tenants;
mod updates;

use std::path::Path;

use async_trait::async_trait;
use futures::stream::BoxStream;
use tidegate_core::{
    device::AttributeNames, feedback::DEFAULT_FEEDBACK_PER_UPDATE, time::Timestamp,
};
use tidegate_engine::ports::{DatabaseHealth, StoreError};
use tokio::task::JoinSet;

use crate::{
    batcher::Batcher,
    database::Database,
    devices::{PollViewBatch, RegistrationBatch},
    invalidation::{self, Invalidation},
    reporting_clock,
    time_limits::TimeLimits,
    updates::{ReportBatch, UpdateBatch},
};

const MAX_REGISTRATIONS_PER_BATCH: usize = 512;
const MAX_REPORTS_PER_BATCH: usize = 256;
const MAX_READS_PER_BATCH: usize = 256;

/// Implements the engine's `Store` on SQLite or PostgreSQL.
pub struct SqlStore {
    pub(crate) database: Database,
    pub(crate) attribute_names: AttributeNames,
    pub(crate) registrations: Batcher<RegistrationBatch>,
    pub(crate) reports: Batcher<ReportBatch>,
    pub(crate) poll_views: Batcher<PollViewBatch>,
    pub(crate) update_reads: Batcher<UpdateBatch>,
    _tasks: JoinSet<()>,
}

/// The address of the database and the settings of the connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `sqlite:` and a path, or `postgres://user:password@host/database`.
    pub url: String,
    /// The name of this server, unique among the servers of the database.
    pub server_name: String,
    /// The maximum number of connections. PostgreSQL: all connections, at least 2; half of them serve single-row
    /// reads. SQLite: the readers, at least 1.
    pub connections: u32,
    /// The names of the attributes that contain the hardware of a device, for devices that an operator creates.
    pub attribute_names: AttributeNames,
    /// Maximum feedbacks kept of one update, in addition to the one that closes it.
    pub max_feedback_per_update: u32,
    /// How long the store waits for its database.
    pub limits: TimeLimits,
}

impl Options {
    /// The database at this URL, with default settings.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            server_name: "tidegate".to_owned(),
            connections: 16,
            attribute_names: AttributeNames::default(),
            max_feedback_per_update: DEFAULT_FEEDBACK_PER_UPDATE,
            limits: TimeLimits::default(),
        }
    }

    /// The SQLite database in this file. Opening it creates the file if it does not exist.
    pub fn sqlite(file: &Path) -> Self {
        use std::fmt::Write as _;

        let mut url = "sqlite://".to_owned();
        for byte in file.as_os_str().as_encoded_bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                    url.push(char::from(*byte));
                }
                _ => {
                    let _ = write!(url, "%{byte:02X}");
                }
            }
        }
        Self::new(url)
    }
}

impl SqlStore {
    /// Connects to the database and runs the migrations. Several servers may do so concurrently.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let database = Database::open(
            &options.url,
            options.server_name,
            options.connections.max(1),
            options.limits,
        )
        .await?;
        reporting_clock::read(&database).await?;
        let registrations = RegistrationBatch {
            database: database.clone(),
        };
        let reports = ReportBatch {
            database: database.clone(),
            max_feedback_per_update: options.max_feedback_per_update,
        };
        let poll_views = PollViewBatch {
            database: database.clone(),
        };
        let update_reads = UpdateBatch {
            database: database.clone(),
        };
        Ok(Self {
            attribute_names: options.attribute_names,
            registrations: Batcher::start(registrations, MAX_REGISTRATIONS_PER_BATCH),
            reports: Batcher::start(reports, MAX_REPORTS_PER_BATCH),
            poll_views: Batcher::start(poll_views, MAX_READS_PER_BATCH),
            update_reads: Batcher::start(update_reads, MAX_READS_PER_BATCH),
            _tasks: database.start_tasks(),
            database,
        })
    }

    /// Cached data that other servers changed. A server does not receive its own invalidations. On SQLite, which has
    /// one server, the stream never yields.
    ///
    /// The consumer is the read model of polls: it drops the named entries.
    pub fn invalidations(&self) -> BoxStream<'static, Invalidation> {
        invalidation::subscribe(&self.database)
    }

    /// Waits for running transactions and closes all connections. Later calls return `StoreError::Unavailable`.
    pub async fn close(&self) {
        self.database.close().await;
    }
}

#[async_trait]
impl DatabaseHealth for SqlStore {
    async fn time(&self) -> Result<Option<Timestamp>, StoreError> {
        self.database.time().await
    }

    fn is_unavailable(&self) -> bool {
        // A lost connection for notifications does not count: reports are accepted without it.
        self.database.unhealthy_reason().is_some() || self.database.is_unreachable()
    }

    fn unhealthy_reason(&self) -> Option<String> {
        let of_writes = self.database.unhealthy_reason();
        let of_reports = || self.reports.unhealthy_reason();
        let of_registrations = || self.registrations.unhealthy_reason();
        let of_listening = || self.database.listen_health().unhealthy_reason();
        of_writes
            .or_else(of_reports)
            .or_else(of_registrations)
            .or_else(of_listening)
    }
}
