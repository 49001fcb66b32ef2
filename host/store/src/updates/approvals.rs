//! Approvals of updates. A decision is stored first and then applied to the updates in batches, so that a request with
//! many updates delays the reports of devices by one batch at most.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::any::AnyRow;
use tidegate_core::{
    id::{ApprovalId, DeviceKey, TenantId, UpdateId},
    time::Timestamp,
    update::UpdateEvent,
};
use tidegate_engine::{
    Ctx,
    ports::{
        AffectedDevice, ApprovalDecision, ApprovalSummary, RequestedApproval, StoreError,
        UpdateApproval,
    },
};

use super::unit_of_work::{UpdateUnitOfWork, notify_affected_devices};
use crate::{
    audit::{self, AuditEntry},
    database::{Database, Tx},
    dialect::{ColumnType, Dialect, storable},
    error::{failed, internal},
    rows::{RowError, RowExt as _, row_error, to_json},
    tenant_counters::TenantCounters,
};

/// The columns of an approval `a` that [`from_row`] reads.
pub(super) const COLUMNS: &str = "a.id AS approval_id, a.requested_by, a.requested_at, a.is_approved, a.decided_by, \
     a.decided_at, a.comment, a.incomplete_until";

const REQUEST: &str = "request an approval";
const READ: &str = "read an approval";
const APPLY: &str = "apply an approval";

/// Joins the approval of earlier updates of the same request, and keeps it from being decided before the end of the
/// transaction. False: there is a decision.
pub(super) async fn join(
    tx: &mut Tx,
    ctx: &Ctx,
    id: ApprovalId,
    is_forced: bool,
    incomplete_until: Option<Timestamp>,
) -> Result<bool, StoreError> {
    // It is not there if the devices of all its updates were deleted.
    let joined = sqlx::query(
        "INSERT INTO update_approvals (tenant_id, id, requested_by, requested_at, is_forced, incomplete_until) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (tenant_id, id) DO UPDATE SET incomplete_until = excluded.incomplete_until \
         WHERE update_approvals.decided_at IS NULL",
    )
    .bind(ctx.tenant.0)
    .bind(i64::from(id.0))
    .bind(storable(&ctx.actor.name).into_owned())
    .bind(ctx.now.0)
    .bind(i64::from(is_forced))
    .bind(incomplete_until.map(|until| until.0))
    .execute(tx.conn())
    .await
    .map_err(failed(REQUEST))?;
    Ok(joined.rows_affected() > 0)
}

/// Gives these new updates their approval: the one that [`join`] has joined, one that is decided, or a new one.
pub(super) async fn request(
    tx: &mut Tx,
    ctx: &Ctx,
    approval: RequestedApproval,
    updates: &BTreeSet<UpdateId>,
    is_forced: bool,
    incomplete_until: Option<Timestamp>,
) -> Result<(), StoreError> {
    let Some(first) = updates.first() else {
        return Ok(());
    };
    let id = match approval {
        RequestedApproval::New => {
            let id = ApprovalId::of_first(*first);
            if !join(tx, ctx, id, is_forced, incomplete_until).await? {
                let why = format!("the approval {id} is there already");
                return Err(internal(REQUEST)(why.into()));
            }
            id
        }
        RequestedApproval::Existing(id) | RequestedApproval::Given(id) => id,
    };
    let ids: Vec<_> = updates.iter().map(|id| json!({ "id": id.0 })).collect();
    let sql = format!(
        "UPDATE updates SET approval_id = $1 FROM {} WHERE updates.tenant_id = $2 AND updates.id = waiting.id",
        tx.dialect()
            .json_rows("waiting", "$3", &[("id", ColumnType::Int)])
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(i64::from(id.0))
        .bind(ctx.tenant.0)
        .bind(to_json(&ids)?)
        .execute(tx.conn())
        .await
        .map_err(failed(REQUEST))?;
    Ok(())
}

pub(crate) async fn complete(
    database: &Database,
    tenant: TenantId,
    id: ApprovalId,
) -> Result<(), StoreError> {
    let mut tx = database.write().await?;
    sqlx::query(
        "UPDATE update_approvals SET incomplete_until = NULL WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .execute(tx.conn())
    .await
    .map_err(failed(REQUEST))?;
    tx.commit().await
}

/// The approvals of the updates of a device, kept from being changed before the end of the transaction.
pub(crate) async fn lock_of_device(
    tx: &mut Tx,
    tenant: TenantId,
    device: DeviceKey,
) -> Result<BTreeSet<ApprovalId>, StoreError> {
    let sql = format!(
        "SELECT id FROM update_approvals WHERE tenant_id = $1 AND id IN \
         (SELECT u.approval_id FROM updates u WHERE u.tenant_id = $1 AND u.device_key = $2 \
          AND u.approval_id IS NOT NULL) ORDER BY id{}",
        match tx.dialect() {
            Dialect::Sqlite => "",
            Dialect::Postgres => " FOR UPDATE",
        }
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(device.0)
        .fetch_all(tx.conn())
        .await
        .map_err(failed(READ))?;
    let id = |row: &AnyRow| Ok(ApprovalId(row.take("id")?));
    rows.iter()
        .map(id)
        .collect::<Result<_, RowError>>()
        .map_err(row_error(READ))
}

/// Deletes those of these approvals that have no update any more: an approval is kept as long as one of its updates. The
/// caller has locked them.
pub(crate) async fn delete_unused(
    tx: &mut Tx,
    tenant: TenantId,
    approvals: &BTreeSet<ApprovalId>,
) -> Result<(), StoreError> {
    if approvals.is_empty() {
        return Ok(());
    }
    let ids: Vec<_> = approvals.iter().map(|id| id.0).collect();
    let sql = format!(
        "DELETE FROM update_approvals WHERE tenant_id = $1 AND {} AND NOT EXISTS \
         (SELECT 1 FROM updates u WHERE u.tenant_id = $1 AND u.approval_id = update_approvals.id)",
        tx.dialect().key_in_json("id", "$2")
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(to_json(&ids)?)
        .execute(tx.conn())
        .await
        .map_err(failed("delete approvals"))?;
    Ok(())
}

pub(crate) async fn read(
    database: &Database,
    tenant: TenantId,
    id: ApprovalId,
) -> Result<Option<ApprovalSummary>, StoreError> {
    let mut tx = database.read_single().await?;
    let sql = format!(
        "SELECT {COLUMNS}, \
         (SELECT COUNT(*) FROM updates u WHERE u.tenant_id = a.tenant_id AND u.approval_id = a.id) AS n, \
         (SELECT COUNT(*) FROM updates u WHERE u.tenant_id = a.tenant_id AND u.approval_id = a.id \
          AND u.status = 'waiting_approval') AS waiting \
         FROM update_approvals a WHERE a.tenant_id = $1 AND a.id = $2"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(tenant.0)
        .bind(i64::from(id.0))
        .fetch_optional(tx.conn())
        .await
        .map_err(failed(READ))?;
    let summary = row.as_ref().and_then(|row| summary(row).transpose());
    summary.transpose().map_err(row_error(READ))
}

fn summary(row: &AnyRow) -> Result<Option<ApprovalSummary>, RowError> {
    let Some(approval) = from_row(row)? else {
        return Ok(None);
    };
    Ok(Some(ApprovalSummary {
        approval,
        updates: row.count("n")?,
        waiting: row.count("waiting")?,
    }))
}

/// Reads [`COLUMNS`]; `None`: the update of the row has no approval.
pub(super) fn from_row(row: &AnyRow) -> Result<Option<UpdateApproval>, RowError> {
    let Some(id) = row.take::<Option<i32>>("approval_id")? else {
        return Ok(None);
    };
    Ok(Some(UpdateApproval {
        id: ApprovalId(id),
        requested_by: row.take("requested_by")?,
        requested_at: Timestamp(row.take("requested_at")?),
        incomplete_until: row.take::<Option<i64>>("incomplete_until")?.map(Timestamp),
        decision: decision(row)?,
    }))
}

fn decision(row: &AnyRow) -> Result<Option<ApprovalDecision>, RowError> {
    let Some(at) = row.take::<Option<i64>>("decided_at")? else {
        return Ok(None);
    };
    Ok(Some(ApprovalDecision {
        is_approved: row.flag("is_approved")?,
        by: row.take("decided_by")?,
        comment: row.take("comment")?,
        at: Timestamp(at),
    }))
}

pub(crate) async fn decide(
    database: &Database,
    ctx: &Ctx,
    id: ApprovalId,
    is_approved: bool,
    comment: &str,
) -> Result<bool, StoreError> {
    let mut tx = database.write().await?;
    let decided = sqlx::query(
        "UPDATE update_approvals SET is_approved = $3, decided_by = $4, decided_at = $5, comment = $6 \
         WHERE tenant_id = $1 AND id = $2 AND decided_at IS NULL \
         AND (incomplete_until IS NULL OR incomplete_until <= $5)",
    )
    .bind(ctx.tenant.0)
    .bind(i64::from(id.0))
    .bind(i64::from(is_approved))
    .bind(storable(&ctx.actor.name).into_owned())
    .bind(ctx.now.0)
    .bind(storable(comment).into_owned())
    .execute(tx.conn())
    .await
    .map_err(failed("decide on an approval"))?;
    if decided.rows_affected() == 0 {
        return Ok(false);
    }
    let action = if is_approved {
        "update.approve"
    } else {
        "update.reject"
    };
    let before = json!({ "approved": null });
    let after = json!({ "approved": is_approved, "comment": comment });
    let entry = AuditEntry::new(action, id, before, after);
    audit::record(&mut tx, ctx, entry).await?;
    tx.commit().await?;
    Ok(true)
}

pub(crate) async fn unapplied(
    database: &Database,
    limit: u32,
) -> Result<Vec<(TenantId, ApprovalId)>, StoreError> {
    let mut tx = database.read_single().await?;
    let rows = sqlx::query(
        "SELECT tenant_id, id FROM update_approvals \
         WHERE decided_at IS NOT NULL AND applied_at IS NULL ORDER BY decided_at LIMIT $1",
    )
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(READ))?;
    let key = |row: &AnyRow| {
        Ok((
            TenantId(row.take("tenant_id")?),
            ApprovalId(row.take("id")?),
        ))
    };
    rows.iter()
        .map(key)
        .collect::<Result<_, RowError>>()
        .map_err(row_error(READ))
}

pub(crate) async fn apply(
    database: &Database,
    tenant: TenantId,
    id: ApprovalId,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<AffectedDevice>, StoreError> {
    let mut tx = database.write().await?;
    let Some(decided) = decided(&mut tx, tenant, id).await? else {
        return Ok(Vec::new());
    };
    let waiting = waiting(&mut tx, tenant, id, limit).await?;
    let devices: BTreeSet<DeviceKey> = waiting.iter().map(|(_, device)| *device).collect();
    let updates: BTreeSet<UpdateId> = waiting.iter().map(|(id, _)| *id).collect();
    let mut work = UpdateUnitOfWork::open(&mut tx, tenant, &devices, &updates, now).await?;
    let mut tenant_counters = TenantCounters::default();
    let mut affected = Vec::new();
    for (id, device) in &waiting {
        decided.apply_to(&mut work, *id, *device, now, &mut tenant_counters);
        affected.extend(work.affected(*device, None));
    }
    work.write(&mut tx, &mut tenant_counters).await?;
    if waiting.len() < limit as usize {
        sqlx::query("UPDATE update_approvals SET applied_at = $3 WHERE tenant_id = $1 AND id = $2")
            .bind(tenant.0)
            .bind(i64::from(id.0))
            .bind(now.0)
            .execute(tx.conn())
            .await
            .map_err(failed(APPLY))?;
    }
    notify_affected_devices(&mut tx, &affected).await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(affected)
}

/// An approval with its decision.
struct ApprovalOutcome {
    decision: ApprovalDecision,
    is_forced: bool,
}

impl ApprovalOutcome {
    fn apply_to(
        &self,
        work: &mut UpdateUnitOfWork,
        id: UpdateId,
        key: DeviceKey,
        now: Timestamp,
        tenant_counters: &mut TenantCounters,
    ) {
        let Some(device) = work.device(key) else {
            return;
        };
        let (is_pinned, auto_confirms) = (device.pinned, device.auto_confirms);
        let mut apply = |event: &UpdateEvent| {
            // None of these events fails.
            let _ = work.apply_event(id, event, now, tenant_counters);
        };
        if let Some(reason) = self.rejection_reason(is_pinned) {
            apply(&UpdateEvent::ApprovalRejected(reason));
            return;
        }
        apply(&UpdateEvent::Approved);
        if auto_confirms {
            apply(&UpdateEvent::AutoConfirmed);
        }
        if !work.is_covered(id) {
            // Policies check the device again before it is offered the update.
            let _ = work.apply_event(id, &UpdateEvent::ClassChanged, now, tenant_counters);
        }
    }

    /// Why the update is not offered.
    fn rejection_reason(&self, is_pinned: bool) -> Option<String> {
        let ApprovalDecision { by, comment, .. } = &self.decision;
        if !self.decision.is_approved {
            let colon = if comment.is_empty() { "" } else { ": " };
            return Some(format!("rejected by {by}{colon}{comment}"));
        }
        let why = "the device was pinned before the update was approved";
        (is_pinned && !self.is_forced).then(|| why.to_owned())
    }
}

async fn decided(
    tx: &mut Tx,
    tenant: TenantId,
    id: ApprovalId,
) -> Result<Option<ApprovalOutcome>, StoreError> {
    let row = sqlx::query(
        "SELECT is_forced, is_approved, decided_by, decided_at, comment FROM update_approvals \
         WHERE tenant_id = $1 AND id = $2",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .fetch_optional(tx.conn())
    .await
    .map_err(failed(APPLY))?;
    let Some(row) = row else {
        return Ok(None);
    };
    let read = || -> Result<_, RowError> {
        let is_forced = row.flag("is_forced")?;
        let decided = decision(&row)?.map(|decision| ApprovalOutcome {
            decision,
            is_forced,
        });
        Ok(decided)
    };
    read().map_err(row_error(APPLY))
}

/// The updates that wait for the approval, with their devices.
async fn waiting(
    tx: &mut Tx,
    tenant: TenantId,
    id: ApprovalId,
    limit: u32,
) -> Result<Vec<(UpdateId, DeviceKey)>, StoreError> {
    let rows = sqlx::query(
        "SELECT id, device_key FROM updates \
         WHERE tenant_id = $1 AND approval_id = $2 AND status = 'waiting_approval' ORDER BY id LIMIT $3",
    )
    .bind(tenant.0)
    .bind(i64::from(id.0))
    .bind(i64::from(limit))
    .fetch_all(tx.conn())
    .await
    .map_err(failed(APPLY))?;
    let read = |row: &AnyRow| {
        Ok((
            UpdateId(row.take("id")?),
            DeviceKey(row.take("device_key")?),
        ))
    };
    rows.iter()
        .map(read)
        .collect::<Result<_, RowError>>()
        .map_err(row_error(APPLY))
}
