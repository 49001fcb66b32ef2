use async_trait::async_trait;
use tidegate_core::time::Timestamp;

use super::StoreError;

/// Reference tracking for the files in [`super::Artifacts`]. Identical content is one file across all tenants, and
/// several servers may share the files.
#[async_trait]
pub trait FileLeases: Send + Sync {
    /// Leases a file until `until`: meanwhile it is not deleted, and rows that refer to it may be stored. False: it is
    /// pending deletion and cannot be leased.
    async fn lease_file(
        &self,
        sha256: [u8; 32],
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Ends all leases of `holder`. Returns the files that are now unreferenced and not leased. They are marked as
    /// pending deletion and cannot be leased until they are deleted and [`Self::confirm_file_deleted`] is called.
    async fn end_file_leases(
        &self,
        holder: &str,
        now: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError>;

    /// Removes the mark of a file that was deleted.
    async fn confirm_file_deleted(&self, sha256: [u8; 32]) -> Result<(), StoreError>;

    /// Cleans up after crashed servers: ends expired leases, and returns the files pending deletion since before
    /// `pending_since_before`.
    async fn orphaned_files(
        &self,
        now: Timestamp,
        pending_since_before: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError>;
}
