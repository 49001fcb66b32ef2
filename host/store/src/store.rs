use std::path::Path;

use futures::stream::BoxStream;
use tidegate_core::device::AttributeNames;
use tidegate_engine::ports::StoreError;

use crate::{
    batch_writer::BatchWriter,
    database::Database,
    devices::RegistrationBatch,
    invalidation::{self, Invalidation},
    updates::ReportBatch,
};

/// Most registrations of one transaction.
const MAX_REGISTRATIONS_PER_BATCH: usize = 512;
/// Most reports of devices in one transaction.
const MAX_REPORTS_PER_BATCH: usize = 256;

/// The engine's `Store`, on SQLite or PostgreSQL.
pub struct SqlStore {
    pub(crate) database: Database,
    pub(crate) attribute_names: AttributeNames,
    pub(crate) registrations: BatchWriter<RegistrationBatch>,
    pub(crate) reports: BatchWriter<ReportBatch>,
}

/// Where the database is and how to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// `sqlite:` and a path, or `postgres://user:password@host/database`.
    pub url: String,
    /// A name that no other host on this database has.
    pub host: String,
    /// Most connections at once: to PostgreSQL in all, of which half read single things, to SQLite for reading. At least
    /// 1; to PostgreSQL 2.
    pub connections: u32,
    /// Which attributes of a device made by an operator say what hardware it is.
    pub attribute_names: AttributeNames,
}

impl Options {
    /// The database at this address, with what is usual for the rest.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            host: "tidegate".to_owned(),
            connections: 16,
            attribute_names: AttributeNames::default(),
        }
    }

    /// The SQLite database in this file, which is made when it is not there.
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
    /// Connects, and brings the database to this version's tables. Several hosts may do so at once.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let database =
            Database::open(&options.url, options.host, options.connections.max(1)).await?;
        let registrations = RegistrationBatch {
            database: database.clone(),
        };
        let reports = ReportBatch {
            database: database.clone(),
        };
        Ok(Self {
            attribute_names: options.attribute_names,
            registrations: BatchWriter::start(registrations, MAX_REGISTRATIONS_PER_BATCH),
            reports: BatchWriter::start(reports, MAX_REPORTS_PER_BATCH),
            database,
        })
    }

    /// Devices about which another host changed something, as it happens. Every host hears of its own changes too. On
    /// SQLite, which has one host, the stream never yields.
    ///
    /// Belongs to whoever remembers what polls are answered: it forgets what is named.
    pub fn invalidations(&self) -> BoxStream<'static, Invalidation> {
        invalidation::subscribe(&self.database)
    }

    /// Waits for what is running and closes every connection. Whatever is asked afterwards is unavailable.
    pub async fn close(&self) {
        self.database.close().await;
    }
}
