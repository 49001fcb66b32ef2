use tidegate_core::{
    campaign::{Approval, Campaign, CampaignStatus},
    id::CampaignId,
};

use super::commands::apply_command;
use crate::{
    Approver, Authorized, Error, Result, Signals,
    ports::{CampaignChange, Store},
};

/// Approves a campaign that waits for approval. Users cannot approve their own campaigns.
pub async fn approve(
    ctx: &Authorized<Approver>,
    store: &dyn Store,
    signals: &Signals,
    id: CampaignId,
    comment: String,
) -> Result<Campaign> {
    apply_command(ctx, store, signals, id, |campaign| {
        if campaign.created_by == *ctx.actor.name {
            let message = "a campaign must be approved by another user than its creator".to_owned();
            return Err(Error::Forbidden {
                code: "own_campaign",
                message,
            });
        }
        if campaign.status != CampaignStatus::Created || campaign.approval.is_some() {
            return Err(Error::conflict(
                "not_waiting",
                "the campaign does not wait for approval",
            ));
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
