//! Files that are stored before it is known whether they are kept.
//!
//! Several requests, of several hosts, may bring the same bytes at once, and they are one file. So whoever stores a file
//! holds it, in the database, until what refers to it is stored or the request is refused. Then the hold ends, and the
//! file is deleted if nobody else holds it and nothing refers to it. A file that is about to be deleted is marked as
//! doomed first, in the transaction that found it unwanted, and nobody can hold it from then on. A host that dies over
//! this leaves a hold that ends by itself, or a doomed file, and [`delete_orphans`] of any host finishes its work.

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

/// How long a request may hold what it brought.
const LEASE_DURATION: Duration = Duration::from_hours(24);
/// Nothing is stored that refers to a file whose hold ends so soon.
const LEASE_MARGIN: Duration = Duration::from_hours(1);
/// How long deleting one file may take.
const DELETE_TIMEOUT: Duration = Duration::from_mins(1);
/// After this a host that dooms a file has either deleted it or died over it. Far longer than [`DELETE_TIMEOUT`]: a file that
/// is deleted a second time must not be a new one of the same bytes.
const DELETE_GRACE: Duration = Duration::from_hours(1);

/// Numbers the requests of this host that hold files.
#[derive(Default)]
pub struct FileLeases(AtomicU64);

/// What one request holds.
pub(crate) struct FileLease<'a> {
    engine: &'a Engine,
    holder: String,
    until: Timestamp,
}

impl<'a> FileLease<'a> {
    /// Holds nothing yet.
    pub(crate) fn new(engine: &'a Engine) -> Self {
        let number = engine.file_leases.0.fetch_add(1, Ordering::Relaxed);
        Self {
            engine,
            holder: format!("{}/{number}", engine.settings.owner),
            until: engine.now().plus(LEASE_DURATION),
        }
    }

    /// Stores a file as it arrives, and holds it.
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
        // It may have been deleted between our storing it and our holding it.
        if !is_leased || !exists(self.engine, sha256).await? {
            let message = "the same file is being deleted at this moment; send it again".to_owned();
            return Err(Error::Unavailable { message });
        }
        Ok(stored)
    }

    /// Whether what refers to the files may still be stored.
    pub(crate) fn check(&self) -> Result<()> {
        if self.engine.now().plus(LEASE_MARGIN) < self.until {
            return Ok(());
        }
        let message = "the upload took longer than 23 hours".to_owned();
        Err(Error::Unavailable { message })
    }

    /// The request is done with the files: what nothing refers to is deleted. Where that cannot be done now, it is done
    /// when the hold ends. Whoever does not know whether something refers to them just leaves.
    pub(crate) async fn release(&self) {
        let (store, now) = (self.engine.store(), self.engine.now());
        match store.end_file_leases(&self.holder, now).await {
            Ok(pending) => delete(self.engine, pending).await,
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "cannot let go of files; they are looked at later");
            }
        }
    }
}

/// Finishes what dead hosts left behind.
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
            tracing::warn!(
                error,
                "cannot delete an unwanted file; it is tried again later"
            );
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
