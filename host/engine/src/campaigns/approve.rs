use tidegate_core::{
    campaign::{Approval, Campaign, CampaignStatus},
    id::CampaignId,
};

use super::commands::apply_command;
use crate::{
    Engine, Error, Result,
    ports::{CampaignChange, Role},
    tenants::Actor,
};

/// Approves a campaign that waits for approval. Users cannot approve their own campaigns.
pub async fn approve(
    engine: &Engine,
    actor: &Actor,
    id: CampaignId,
    comment: String,
) -> Result<Campaign> {
    actor.require(Role::Approver)?;
    apply_command(engine, actor, id, |campaign| {
        if campaign.created_by == actor.user {
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
            by: actor.user.clone(),
            comment: comment.clone(),
            at: engine.now(),
        };
        Ok(CampaignChange {
            approval: Some(approval),
            ..CampaignChange::default()
        })
    })
    .await
}
