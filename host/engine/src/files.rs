//! Leases on files that are stored before it is known whether they are kept.
//!
//! Several requests on several servers may upload the same bytes concurrently; they share one file. A request therefore
//! leases its file in the database until the rows that refer to it are stored, or the request is refused. When the
//! lease ends, the file is deleted if it has no other lease and nothing refers to it. The transaction that finds it
//! unreferenced first marks it as pending deletion; from then on it cannot be leased. A server that crashes leaves a
//! lease that expires, or a file pending deletion; [`delete_orphans`] on any server finishes the work.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tidegate_core::time::Timestamp;
use tokio::time::timeout;

use crate::{
    Engine, Error, Result,
    ports::{ByteStream, PutError, StoredFile},
};

/// How long a request may lease the files that it uploads.
const LEASE_DURATION: Duration = Duration::from_hours(24);
/// Rows that refer to a file are stored only while its lease lasts at least this long.
const LEASE_MARGIN: Duration = Duration::from_hours(1);
/// Timeout for deleting one file.
const DELETE_TIMEOUT: Duration = Duration::from_mins(1);
/// Grace period before another server retries an unfinished deletion. Far longer than [`DELETE_TIMEOUT`]: a late second
/// deletion must not hit a new file of the same bytes.
const DELETE_GRACE: Duration = Duration::from_hours(1);

/// Numbers the requests of this server that lease files.
#[derive(Default)]
pub struct FileLeases(AtomicU64);

/// The leases of one request.
pub(crate) struct FileLease<'a> {
    engine: &'a Engine,
    holder: String,
    until: Timestamp,
}

impl<'a> FileLease<'a> {
    /// A lease holder without files.
    pub(crate) fn new(engine: &'a Engine) -> Self {
        let number = engine.file_leases.0.fetch_add(1, Ordering::Relaxed);
        Self {
            engine,
            holder: format!("{}/{number}", engine.settings.owner),
            until: engine.now().plus(LEASE_DURATION),
        }
    }

    /// Stores a file while it arrives, and leases it.
    pub(crate) async fn store_file(&self, body: ByteStream, max_bytes: u64) -> Result<StoredFile> {
        let stored = self
            .engine
            .ports
            .artifacts
            .put(body, max_bytes)
            .await
            .map_err(put_error)?;
        let sha256 = stored.hashes.sha256;
        let store = self.engine.store();
        let is_leased = store.lease_file(sha256, &self.holder, self.until).await?;
        // The file may have been deleted between storing and leasing it.
        if !is_leased || !exists(self.engine, sha256).await? {
            let message = "the same file is being deleted; send it again".to_owned();
            return Err(Error::Unavailable { message });
        }
        Ok(stored)
    }

    /// Checks that the lease lasts long enough to store rows that refer to the files.
    pub(crate) fn check(&self) -> Result<()> {
        if self.engine.now().plus(LEASE_MARGIN) < self.until {
            return Ok(());
        }
        let message = "the upload took longer than 23 hours".to_owned();
        Err(Error::Unavailable { message })
    }

    /// Ends the leases and deletes the files that nothing refers to. If that fails, it is retried after the leases
    /// expire. A request that does not know whether its rows were stored must not call this, but let the leases expire.
    pub(crate) async fn release(&self) {
        let (store, now) = (self.engine.store(), self.engine.now());
        match store.end_file_leases(&self.holder, now).await {
            Ok(pending) => delete(self.engine, pending).await,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot end file leases; retrying when they expire");
            }
        }
    }
}

/// Finishes the deletions of crashed servers.
pub(crate) async fn delete_orphans(engine: &Engine) -> Result<()> {
    let now = engine.now();
    let pending_since_before =
        Timestamp(now.0 - i64::try_from(DELETE_GRACE.as_millis()).unwrap_or(0));
    let orphans = engine
        .store()
        .orphaned_files(now, pending_since_before)
        .await?;
    delete(engine, orphans).await;
    Ok(())
}

async fn delete(engine: &Engine, pending: Vec<[u8; 32]>) {
    for sha256 in pending {
        if let Err(error) = delete_one(engine, sha256).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "cannot delete unreferenced file; retrying later");
        }
    }
}

async fn delete_one(engine: &Engine, sha256: [u8; 32]) -> Result<()> {
    let deleted = timeout(DELETE_TIMEOUT, engine.ports.artifacts.delete(sha256)).await;
    deleted
        .map_err(|elapsed| Error::internal("delete file", elapsed))?
        .map_err(|error| Error::internal("delete file", error))?;
    Ok(engine.store().confirm_file_deleted(sha256).await?)
}

async fn exists(engine: &Engine, sha256: [u8; 32]) -> Result<bool> {
    let opened = engine.ports.artifacts.open(sha256, 0..0).await;
    Ok(opened
        .map_err(|error| Error::internal("open artifact", error))?
        .is_some())
}

fn put_error(error: PutError) -> Error {
    let message = error.to_string();
    match error {
        PutError::TooLarge(_) => Error::TooLarge { message },
        PutError::Body(_) => Error::invalid("upload_broken", "", message),
        PutError::Store(source) => Error::internal("store artifact", source),
    }
}
