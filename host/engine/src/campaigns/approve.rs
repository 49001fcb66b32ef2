use tidegate_core::campaign::{Approval, Campaign, CampaignStatus, Transition};

use super::commands::{apply_command_to, changed_meanwhile, set_explain, transition_change};
use crate::{
    Approver, Authorized, Ctx, Result, Signals,
    four_eyes::ApprovalSubject,
    ports::{CampaignChange, Store},
    tenants,
};

/// Approves a campaign that was read and waits for approval, with what was read: a conflict if it was edited meanwhile, or
/// has left `generation`. Its creator and its editors cannot approve it.
pub async fn approve(
    ctx: &Authorized<Approver>,
    store: &dyn Store,
    signals: &Signals,
    read: Campaign,
    generation: Option<i64>,
    comment: String,
) -> Result<Campaign> {
    decide(ctx, store, signals, read, generation, |campaign| {
        if campaign.status != CampaignStatus::Created || campaign.approval.is_some() {
            return Err(ApprovalSubject::Campaign.not_waiting());
        }
        let approval = Approval {
            by: ctx.actor.name.to_string(),
            comment: comment.clone(),
            at: ctx.now,
        };
        Ok(CampaignChange {
            approval: Some(approval),
            ..CampaignChange::default()
        })
    })
    .await
}

/// Ends a campaign that waits for approval; conflicts as [`approve`] does. Its creator and its editors cannot reject it;
/// they can cancel it.
pub async fn reject(
    ctx: &Authorized<Approver>,
    store: &dyn Store,
    signals: &Signals,
    read: Campaign,
    generation: Option<i64>,
    comment: &str,
) -> Result<Campaign> {
    let is_required = tenants::settings(ctx, store).await?.requires_approval;
    decide(ctx, store, signals, read, generation, |campaign| {
        let is_required = is_required || campaign.spec.requires_approval;
        let waits = is_required && campaign.approval.is_none();
        if campaign.status != CampaignStatus::Created || !waits {
            return Err(ApprovalSubject::Campaign.not_waiting());
        }
        let mut change = transition_change(ctx, campaign, Transition::Cancel, None)?;
        change.is_rejection = true;
        set_explain(&mut change, ctx, "Rejected", comment);
        Ok(change)
    })
    .await
}

/// Applies the decision of another user than its creator and its editors, if it is still as it was read.
async fn decide(
    ctx: &Ctx,
    store: &dyn Store,
    signals: &Signals,
    read: Campaign,
    generation: Option<i64>,
    decision: impl Fn(&Campaign) -> Result<CampaignChange>,
) -> Result<Campaign> {
    let spec = read.spec.clone();
    apply_command_to(ctx, store, signals, read, |campaign| {
        ApprovalSubject::Campaign.check_other_user(ctx, campaign.authors())?;
        if campaign.spec != spec || generation.is_some_and(|it| it != campaign.generation) {
            return Err(changed_meanwhile());
        }
        decision(campaign)
    })
    .await
}
