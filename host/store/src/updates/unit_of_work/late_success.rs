use std::collections::BTreeSet;

use sqlx::AssertSqlSafe;
use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    update::UpdateStatus,
};
use tidegate_engine::ports::StoreError;

use super::{LoadedUpdate, UpdateUnitOfWork};
use crate::{database::Tx, error::failed, rows::to_json, tenant_counters::TenantCounters};

impl UpdateUnitOfWork {
    /// Takes the end of an update back, and its retry, which was not offered: all counters are as if the update were
    /// scheduled. Returns that status.
    pub(super) fn undo_end(
        &mut self,
        id: UpdateId,
        tenant_counters: &mut TenantCounters,
    ) -> UpdateStatus {
        let Some(ended) = self.updates.get(&id).cloned() else {
            return UpdateStatus::Scheduled;
        };
        tenant_counters.uncount_end(self.tenant, &ended.update);
        let attempt = ended.update.attempt;
        // The campaign counts the last attempt, which is scheduled or was cancelled.
        let counted = if attempt.is_retried {
            self.withdraw_retry(attempt.first.unwrap_or(id), id, tenant_counters)
        } else {
            Some(ended)
        };
        if let Some(counted) = counted.filter(|last| !last.update.state.status.is_open()) {
            self.counters.uncount_end(&counted);
        }
        if let Some(loaded) = self.loaded_mut(id) {
            loaded.update.attempt.is_retried = false;
            loaded.cancel_requested_at = None;
            loaded.rollback_processed_at = None;
            loaded.rollback_action = None;
        }
        UpdateStatus::Scheduled
    }

    /// Removes the retry of a chain of attempts, which no device has seen, and returns it.
    fn withdraw_retry(
        &mut self,
        first: UpdateId,
        of: UpdateId,
        tenant_counters: &mut TenantCounters,
    ) -> Option<LoadedUpdate> {
        let later = self.updates.values().map(|loaded| &loaded.update);
        let retry = later
            .filter(|other| other.id > of && other.attempt.first == Some(first))
            .find(|other| is_withdrawable(other.state.status))?;
        let (retry, device) = (retry.id, retry.device);
        let withdrawn = self.updates.remove(&retry)?;
        if let Some(ids) = self.by_device.get_mut(&device) {
            ids.retain(|id| *id != retry);
        }
        tenant_counters.uncount_status(self.tenant, withdrawn.update.state.status);
        self.withdrawn_retries.push(retry);
        Some(withdrawn)
    }

    /// Devices whose retry was cancelled before it was offered: a success of the attempt before it may still follow.
    pub(super) fn devices_with_cancelled_retry(&self) -> BTreeSet<DeviceKey> {
        let has_cancelled_retry = |key: &DeviceKey| {
            let failed = self.device(*key)?.failed_update?;
            let attempt = self.updates.get(&failed)?.update.attempt;
            let first = Some(attempt.first.unwrap_or(failed));
            let mut others = self.updates_of(*key).map(|loaded| &loaded.update);
            let has_scheduled = others
                .any(|it| it.attempt.first == first && it.state.status == UpdateStatus::Scheduled);
            Some(attempt.is_retried && !has_scheduled)
        };
        let keys = self.devices.keys().copied();
        keys.filter(|key| has_cancelled_retry(key) == Some(true))
            .collect()
    }
}

/// Whether a retry of this status was never offered: the status of an update that ended by silence belongs to the last
/// attempt that was offered.
fn is_withdrawable(status: UpdateStatus) -> bool {
    matches!(status, UpdateStatus::Scheduled | UpdateStatus::Cancelled)
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
