//! Leases on files that are stored before it is known whether they are kept.
//!
//! Several requests on several servers may upload the same bytes concurrently; they share one file. A request therefore
//! leases its file in the database before it is in the store, until the rows that refer to it are stored, or the
//! request is refused. A file whose lease cannot be written, because the database is full, is never stored. When the
//! lease ends, the file is deleted if it has no other lease and nothing refers to it. The transaction that finds it
//! unreferenced first marks it as pending deletion; from then on it cannot be leased. A server that crashes leaves a
//! lease that expires, or a file pending deletion; [`Files::delete_orphans`] on any server finishes the work.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use tidegate_core::{id::Digest, time::Timestamp};
use tokio::time::timeout;

use crate::{
    Error, Ports, Result, Settings, chain,
    file_checks::FileChecks,
    ports::{Artifacts, ByteStream, Clock, FileContent, PutError, Sandbox, Store},
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

/// The stored files, and their leases.
pub struct Files {
    store: Arc<dyn Store>,
    artifacts: Arc<dyn Artifacts>,
    /// Has the compiled code of the files that are components.
    sandbox: Arc<dyn Sandbox>,
    clock: Arc<dyn Clock>,
    server_name: String,
    pub(crate) checks: FileChecks,
    /// Maximum size of a file of a firmware, in bytes.
    pub(crate) max_bytes: u64,
    /// Numbers the requests that lease files.
    requests: AtomicU64,
}

impl Files {
    pub(crate) fn new(ports: &Ports, settings: &Settings) -> Self {
        Self {
            store: Arc::clone(&ports.store),
            artifacts: Arc::clone(&ports.artifacts),
            sandbox: Arc::clone(&ports.sandbox),
            clock: Arc::clone(&ports.clock),
            checks: FileChecks::new(Arc::clone(&ports.artifacts), Arc::clone(&ports.clock)),
            server_name: settings.server_name.clone(),
            max_bytes: settings.max_artifact_bytes,
            requests: AtomicU64::new(0),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn artifacts(&self) -> &Arc<dyn Artifacts> {
        &self.artifacts
    }

    /// A lease holder without files, for one request.
    pub(crate) fn lease(&self) -> FileLease<'_> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        FileLease {
            files: self,
            holder: format!("{}/{number}", self.server_name),
            until: self.now().plus(LEASE_DURATION),
        }
    }

    /// Stores a file again to which rows refer, if it is missing from the store or damaged. Returns whether it was.
    pub(crate) async fn restore(&self, sha256: [u8; 32], content: Bytes) -> Result<bool> {
        let size = content.len() as u64;
        if let Ok(true) = self.artifacts.is_intact(sha256, size).await {
            return Ok(false);
        }
        let lease = self.lease();
        let body = stream::iter([Ok(content)]).boxed();
        lease.store_file(body, size).await?;
        lease.release().await;
        Ok(true)
    }

    /// Deletes what is left of a file that was inspected but is not stored, unless something refers to it.
    pub(crate) async fn discard(&self, sha256: [u8; 32]) {
        let lease = self.lease();
        match lease.hold(sha256).await {
            Ok(()) => lease.release().await,
            // Another request deletes it, or the database has failed: the caller has an error of its own to report.
            Err(error) => {
                tracing::debug!(file = %hex::encode(sha256), error = %chain(&error), "file not discarded");
            }
        }
    }

    /// Finishes the deletions of crashed servers.
    pub(crate) async fn delete_orphans(&self) -> Result<()> {
        let now = self.now();
        let pending_since_before =
            Timestamp(now.0 - i64::try_from(DELETE_GRACE.as_millis()).unwrap_or(0));
        let orphans = self.store.orphaned_files(now, pending_since_before).await?;
        self.delete(orphans).await;
        Ok(())
    }

    async fn delete(&self, pending: Vec<[u8; 32]>) {
        for sha256 in pending {
            if let Err(error) = self.delete_one(sha256).await {
                tracing::warn!(
                    file = %hex::encode(sha256),
                    error = %chain(&error),
                    "cannot delete unreferenced file; retrying later"
                );
            }
        }
    }

    async fn delete_one(&self, sha256: [u8; 32]) -> Result<()> {
        let deleted = timeout(DELETE_TIMEOUT, self.artifacts.delete(sha256)).await;
        deleted
            .map_err(|elapsed| Error::internal("delete file", elapsed))?
            .map_err(|error| Error::internal("delete file", error))?;
        // Before the deletion is confirmed: then the same component can be uploaded again.
        self.sandbox.discard_code(Digest(sha256)).await;
        Ok(self.store.confirm_file_deleted(sha256).await?)
    }
}

/// The leases of one request.
pub(crate) struct FileLease<'a> {
    files: &'a Files,
    holder: String,
    until: Timestamp,
}

impl FileLease<'_> {
    /// Receives a file, leases it, and stores it: a file in the store always has a lease, or rows that refer to it.
    pub(crate) async fn store_file(&self, body: ByteStream, max_bytes: u64) -> Result<FileContent> {
        let received = self.files.artifacts.receive(body, max_bytes).await;
        let received = received.map_err(put_error)?;
        let content = received.content();
        let store = &self.files.store;
        let sha256 = content.hashes.sha256;
        if !store.lease_file(sha256, &self.holder, self.until).await? {
            let message = "the same file is being deleted; send it again";
            return Err(Error::unavailable(message));
        }
        received.publish().await.map_err(put_error)?;
        self.files.checks.forget(sha256);
        Ok(content)
    }

    /// Leases a stored file, so that it is deleted when the lease ends and nothing refers to it.
    pub(crate) async fn hold(&self, sha256: [u8; 32]) -> Result<()> {
        let store = &self.files.store;
        if store.lease_file(sha256, &self.holder, self.until).await? {
            return Ok(());
        }
        let message = "the file is being deleted; send the request again";
        Err(Error::unavailable(message))
    }

    /// Checks that the lease lasts long enough to store rows that refer to the files.
    pub(crate) fn check(&self) -> Result<()> {
        if self.files.now().plus(LEASE_MARGIN) < self.until {
            return Ok(());
        }
        Err(Error::unavailable("the upload took longer than 23 hours"))
    }

    /// Ends the leases and deletes the files that nothing refers to. If that fails, it is retried after the leases
    /// expire. A request that does not know whether its rows were stored must not call this, but let the leases expire.
    pub(crate) async fn release(&self) {
        let (store, now) = (&self.files.store, self.files.now());
        match store.end_file_leases(&self.holder, now).await {
            Ok(pending) => self.files.delete(pending).await,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cannot end file leases; retrying when they expire");
            }
        }
    }
}

fn put_error(error: PutError) -> Error {
    let message = error.to_string();
    match error {
        PutError::TooLarge(_) => Error::TooLarge {
            message: format!("{message}; the server's setting `artifacts.max_bytes` is the limit"),
        },
        PutError::Body(_) => Error::invalid("upload_broken", "", message),
        PutError::NoSpace(_) => Error::NoSpace { message },
        PutError::Store(source) => Error::internal("store artifact", source),
    }
}
