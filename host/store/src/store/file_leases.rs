use async_trait::async_trait;
use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{FileLeases, StoreError};

use super::SqlStore;
use crate::file_leases;

#[async_trait]
impl FileLeases for SqlStore {
    async fn lease_file(
        &self,
        sha256: [u8; 32],
        holder: &str,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        file_leases::lease_file(&self.database, sha256, holder, until).await
    }

    async fn end_file_leases(
        &self,
        holder: &str,
        now: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        file_leases::end_file_leases(&self.database, holder, now).await
    }

    async fn confirm_file_deleted(&self, sha256: [u8; 32]) -> Result<(), StoreError> {
        file_leases::confirm_file_deleted(&self.database, sha256).await
    }

    async fn orphaned_files(
        &self,
        now: Timestamp,
        deleting_before: Timestamp,
    ) -> Result<Vec<[u8; 32]>, StoreError> {
        file_leases::orphaned_files(&self.database, now, deleting_before).await
    }
}
