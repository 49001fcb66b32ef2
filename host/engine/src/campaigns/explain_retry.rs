use tidegate_core::{
    campaign::{Campaign, CampaignStatus},
    time::Timestamp,
    update::{Update, UpdateStatus},
};

use crate::ports::UpdateRow;

/// The number of the newest retry, why the update before it failed, and when it is offered. `None`: the newest update
/// is not a retry.
pub(super) fn explain_retry(
    campaign: &Campaign,
    updates: &[UpdateRow],
    now: Timestamp,
) -> Option<String> {
    let newest = &updates.first()?.update;
    newest.attempt.first?;
    let before = updates.get(1).map(|row| &row.update.state);
    let error = before.and_then(|before| before.error.as_ref());
    let why = error.map(|error| format!(", after {}: {}", error.code, error.message));
    Some(format!(
        "it is attempt {} of {}{}{}",
        newest.attempt.count + 1,
        newest.state.options.retries.max_retries + 1,
        why.unwrap_or_default(),
        when(campaign, newest, now).unwrap_or_default()
    ))
}

fn when(campaign: &Campaign, newest: &Update, now: Timestamp) -> Option<String> {
    if newest.state.status != UpdateStatus::Scheduled {
        return None;
    }
    let left = newest.offered_at().since(now).as_secs();
    Some(match campaign.status {
        CampaignStatus::Paused | CampaignStatus::Held => {
            "; it waits until the campaign is resumed".to_owned()
        }
        _ if left == 0 => match campaign.spec.max_concurrent_updates {
            Some(limit) if campaign.status == CampaignStatus::InProgress => {
                format!(
                    "; it waits for another update to end: the campaign allows {limit} concurrent updates"
                )
            }
            _ => "; it is offered shortly".to_owned(),
        },
        _ => format!("; it is offered in {left} s"),
    })
}
