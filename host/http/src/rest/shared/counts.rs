use serde::Serialize;
use tidegate_core::wave::Counts;
use tidegate_engine::ports::Wave;
use utoipa::ToSchema;

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
