use async_trait::async_trait;
use tidegate_core::time::Timestamp;

use super::StoreError;

/// Which files of the [`super::Artifacts`] are wanted. The same bytes are one file, whichever tenant sent them, and
/// several hosts may share the files.
#[async_trait]
pub trait Files: Send + Sync {
    /// Leases a file until then: nobody deletes it meanwhile, and what refers to it may be stored. False: it is being
    /// deleted, and cannot be held.
    async fn lease_file(
        &self,
        sha256: [u8; 32],
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Lets go of everything that `holder` holds. Answers the files that nobody else holds and nothing refers to: they
    /// are doomed, so that nobody can hold them, until they are deleted and [`Self::confirm_file_deleted`] says so.
    async fn end_file_leases(
        &self,
        holder: &str,
        now: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError>;

    /// A doomed file was deleted.
    async fn confirm_file_deleted(&self, sha256: [u8; 32]) -> Result<(), StoreError>;

    /// What hosts that died left behind: lets go of holds whose time is up, and answers files that have been doomed since
    /// before `doomed_before`.
    async fn orphaned_files(
        &self,
        now: Timestamp,
        doomed_before: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError>;
}
