//! How the status of a campaign affects the retries of its updates.

use super::CampaignStatus;
use crate::update::Purpose;

/// What happens to a scheduled retry that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAction {
    /// Offered to the device.
    Offer,
    /// Offered by its campaign's next tick that `max_concurrent_updates` allows it in.
    AwaitPlace,
    /// Postponed until its campaign continues.
    Wait,
    /// Cancelled.
    Cancel,
}

/// What happens to a scheduled retry that is due, given the status of its campaign, if any. `is_limited`: the campaign has
/// a maximum of concurrent updates. A pinned device gets no further attempt of a campaign's rollout.
pub fn retry_action(
    campaign: Option<(CampaignStatus, Purpose)>,
    is_pinned: bool,
    is_limited: bool,
) -> RetryAction {
    use CampaignStatus as S;
    match campaign {
        // Operators may update a pinned device, and cancel that update themselves.
        None | Some((_, Purpose::Rollback)) => RetryAction::Offer,
        Some((S::Cancelled | S::RollingBack | S::RolledBack | S::Failed, _)) => RetryAction::Cancel,
        Some(_) if is_pinned => RetryAction::Cancel,
        Some((S::InProgress, _)) if is_limited => RetryAction::AwaitPlace,
        Some((S::InProgress | S::Completed, _)) => RetryAction::Offer,
        Some((S::Created | S::Paused | S::Held, _)) => RetryAction::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_follow_the_campaign_status() {
        use CampaignStatus as S;
        let forward = Purpose::Forward { wave: 0 };
        assert_eq!(retry_action(None, true, true), RetryAction::Offer);
        for (status, unpinned, pinned) in [
            (S::InProgress, RetryAction::Offer, RetryAction::Cancel),
            (S::Completed, RetryAction::Offer, RetryAction::Cancel),
            (S::Paused, RetryAction::Wait, RetryAction::Cancel),
            (S::Held, RetryAction::Wait, RetryAction::Cancel),
            (S::RollingBack, RetryAction::Cancel, RetryAction::Cancel),
            (S::RolledBack, RetryAction::Cancel, RetryAction::Cancel),
            (S::Cancelled, RetryAction::Cancel, RetryAction::Cancel),
            (S::Failed, RetryAction::Cancel, RetryAction::Cancel),
        ] {
            assert_eq!(
                retry_action(Some((status, forward)), false, false),
                unpinned,
                "{status:?}"
            );
            assert_eq!(
                retry_action(Some((status, forward)), true, false),
                pinned,
                "{status:?}"
            );
            assert_eq!(
                retry_action(Some((status, Purpose::Rollback)), true, false),
                RetryAction::Offer
            );
            let limited = match unpinned {
                RetryAction::Offer if status == S::InProgress => RetryAction::AwaitPlace,
                unlimited => unlimited,
            };
            assert_eq!(
                retry_action(Some((status, forward)), false, true),
                limited,
                "{status:?}"
            );
            assert_eq!(
                retry_action(Some((status, forward)), true, true),
                pinned,
                "{status:?}"
            );
            assert_eq!(
                retry_action(Some((status, Purpose::Rollback)), true, true),
                RetryAction::Offer
            );
        }
    }
}
