use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::{TenantId, UpdateId},
    update::UpdateStatus,
};
use tidegate_engine::ports::StoreError;

use super::UpdateUnitOfWork;
use crate::{database::Tx, error::failed, rows::to_json, tenant_counters::TenantCounters};

impl UpdateUnitOfWork {
    /// Takes the time-out of an update back, and its retry, which was not offered yet: all counters are as if the update
    /// were scheduled. Returns that status.
    pub(super) fn undo_timeout(
        &mut self,
        id: UpdateId,
        tenant_counters: &mut TenantCounters,
    ) -> UpdateStatus {
        let Some(loaded) = self.updates.get(&id) else {
            return UpdateStatus::Scheduled;
        };
        let update = loaded.update.clone();
        let is_processed = loaded.rollback_processed_at.is_some();
        tenant_counters.uncount_timeout(self.tenant, &update);
        if update.attempt.is_retried {
            self.withdraw_retry(update.attempt.first.unwrap_or(id), id);
            tenant_counters.uncount_scheduled(self.tenant);
        } else {
            self.counters.uncount_timeout(&update, is_processed);
        }
        if let Some(loaded) = self.loaded_mut(id) {
            loaded.update.attempt.is_retried = false;
            loaded.rollback_processed_at = None;
        }
        UpdateStatus::Scheduled
    }

    /// Removes the scheduled retry of a chain of attempts.
    fn withdraw_retry(&mut self, first: UpdateId, of: UpdateId) {
        let retry = self.updates.values().map(|loaded| &loaded.update);
        let retry = retry
            .filter(|other| other.state.status == UpdateStatus::Scheduled)
            .find(|other| other.attempt.first == Some(first) && other.id > of);
        let Some((retry, device)) = retry.map(|retry| (retry.id, retry.device)) else {
            return;
        };
        self.updates.remove(&retry);
        if let Some(ids) = self.by_device.get_mut(&device) {
            ids.retain(|id| *id != retry);
        }
        self.withdrawn_retries.push(retry);
    }
}

/// Deletes retries that no device has seen.
pub(super) async fn delete(
    tx: &mut Tx,
    tenant: TenantId,
    retries: &[UpdateId],
) -> Result<(), StoreError> {
    if retries.is_empty() {
        return Ok(());
    }
    let ids: Vec<i32> = retries.iter().map(|id| id.0).collect();
    let which = tx.dialect().key_in_json("id", "$2");
    let sql = format!("DELETE FROM updates WHERE tenant_id = $1 AND {which}");
    sqlx::query(AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&ids)?)
        .execute(tx.conn())
        .await
        .map_err(failed("delete retries"))?;
    Ok(())
}
