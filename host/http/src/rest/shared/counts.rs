use serde::Serialize;
use tidegate_core::{campaign::CampaignStatus, wave::Counts};
use tidegate_engine::ports::Wave;
use utoipa::ToSchema;

use crate::rest::response::{BELOW_ALL, percent};

/// Number of devices in each state.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Counts)]
pub(crate) struct CountsBody {
    pending: u64,
    offered: u64,
    in_progress: u64,
    completed: u64,
    failed: u64,
    timed_out: u64,
    cancelled: u64,
    rejected: u64,
}

/// The counters of all waves together.
pub(crate) fn sum_counts(waves: &[Wave]) -> Counts {
    waves
        .iter()
        .fold(Counts::default(), |sum, wave| sum.plus(&wave.report.counts))
}

/// The share of devices whose update has ended, in percent; below 100 until the campaign has ended.
pub(crate) fn progress_percentage(status: CampaignStatus, counts: &Counts) -> f64 {
    let share = percent(counts.finished(), counts.total());
    if status.is_final() {
        share
    } else {
        share.min(BELOW_ALL)
    }
}

impl From<Counts> for CountsBody {
    fn from(counts: Counts) -> Self {
        Self {
            pending: counts.pending,
            offered: counts.offered,
            in_progress: counts.in_progress,
            completed: counts.completed,
            failed: counts.failed,
            timed_out: counts.timed_out,
            cancelled: counts.cancelled,
            rejected: counts.rejected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_is_100_percent_only_when_all_devices_and_the_campaign_have_ended() {
        let counts = |in_progress, completed| Counts {
            in_progress,
            completed,
            ..Counts::default()
        };
        for (status, counts, expected) in [
            (CampaignStatus::Created, counts(0, 0), 0.0),
            (CampaignStatus::InProgress, counts(1, 1), 50.0),
            (CampaignStatus::InProgress, counts(1, 9999), 99.9),
            (CampaignStatus::InProgress, counts(0, 2), 99.9),
            (CampaignStatus::Held, counts(0, 2), 99.9),
            (CampaignStatus::RollingBack, counts(0, 2), 99.9),
            (CampaignStatus::Cancelled, counts(1, 9999), 99.9),
            (CampaignStatus::Cancelled, counts(9999, 1), 0.1),
            (CampaignStatus::Cancelled, counts(0, 2), 100.0),
            (CampaignStatus::RolledBack, counts(0, 2), 100.0),
            (CampaignStatus::Completed, counts(0, 2), 100.0),
        ] {
            let found = progress_percentage(status, &counts);
            assert!(
                (found - expected).abs() < 0.01,
                "{status:?} {counts:?}: {found}"
            );
        }
    }
}
