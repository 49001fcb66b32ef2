use tidegate_core::id::{ApprovalId, UpdateId};

use crate::{
    Approver, Authorized, Ctx, Error, Result, UpdateWriter,
    four_eyes::ApprovalSubject,
    ports::{ApprovalSummary, RequestedApproval, Store, UpdateRow},
    tenants,
};

/// The approval that new updates of the actor need, by the settings of the tenant.
pub(super) async fn requested_approval(
    ctx: &Ctx,
    store: &dyn Store,
) -> Result<Option<RequestedApproval>> {
    let settings = tenants::settings(ctx, store).await?;
    Ok(settings.requires_approval.then_some(RequestedApproval::New))
}

/// Approves the updates that wait for the same approval as this one: they are offered. `id`: one of them, or the
/// approval. Users cannot approve their own updates.
pub async fn approve(
    ctx: &Authorized<Approver>,
    writer: &UpdateWriter,
    id: UpdateId,
    comment: &str,
) -> Result<ApprovalSummary> {
    decide(ctx, writer, id, true, comment).await
}

/// Ends the updates that wait for the same approval as this one. Users cannot reject their own updates; they can cancel
/// them.
pub async fn reject(
    ctx: &Authorized<Approver>,
    writer: &UpdateWriter,
    id: UpdateId,
    comment: &str,
) -> Result<ApprovalSummary> {
    decide(ctx, writer, id, false, comment).await
}

async fn decide(
    ctx: &Ctx,
    writer: &UpdateWriter,
    id: UpdateId,
    is_approved: bool,
    comment: &str,
) -> Result<ApprovalSummary> {
    let store = writer.store();
    let row = store.update(ctx.tenant, id).await?;
    let approval = match &row {
        Some(row) => row.approval.as_ref().map(|approval| approval.id),
        // The approval outlives the first of its updates.
        None => Some(ApprovalId::of_first(id)),
    };
    let found = match approval {
        Some(approval) => store.approval(ctx.tenant, approval).await?,
        None => None,
    };
    let Some(ApprovalSummary {
        approval, waiting, ..
    }) = found
    else {
        return Err(if row.is_some() {
            ApprovalSubject::Update.not_waiting()
        } else {
            Error::not_found("update", id)
        });
    };
    let authors = row.as_ref().map(UpdateRow::authors);
    let authors = authors.unwrap_or_else(|| vec![&*approval.requested_by]);
    ApprovalSubject::Update.check_other_user(ctx, authors)?;
    if approval.decision.is_none() && approval.is_incomplete(ctx.now) {
        return Err(incomplete());
    }
    let is_undecided = approval.decision.is_none() && waiting > 0;
    if !is_undecided
        || !store
            .decide_approval(ctx, approval.id, is_approved, comment)
            .await?
    {
        return Err(ApprovalSubject::Update.not_waiting());
    }
    writer
        .apply_approval(ctx.tenant, approval.id, ctx.now)
        .await?;
    if let Some(row) = &row {
        let action = if is_approved { "approved" } else { "rejected" };
        writer.note(ctx, &row.update, action, comment).await;
    }
    let decided = store.approval(ctx.tenant, approval.id).await?;
    decided.ok_or_else(|| Error::not_found("update", id))
}

fn incomplete() -> Error {
    let message = "more updates of the same bulk update are being created: they are approved or rejected as one; try again in \
                   a moment";
    Error::conflict("update_incomplete", message)
}
