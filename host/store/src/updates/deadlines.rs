//! The deadlines of updates, as rows store them.

use tidegate_core::{
    time::Timestamp,
    update::{UpdateState, UpdateStatus},
};

/// The deadlines of a row. Those of an open update are in the time of the reporting clock, except while it is scheduled;
/// so they move when the clock stands still.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredDeadlines {
    pub(super) timeout_at: i64,
    pub(super) ends_at: i64,
    pub(super) soaks_until: Option<i64>,
    pub(super) waits_since: Option<i64>,
}

impl StoredDeadlines {
    /// `stopped_ms`: how long the reporting clock has stood still.
    pub(super) fn of(state: &UpdateState, stopped_ms: i64) -> Self {
        let deadlines = Self {
            timeout_at: state.timeout_at.0,
            ends_at: state.ends_at.0,
            soaks_until: state.soaks_until.map(|at| at.0),
            waits_since: state.waits_since.map(|at| at.0),
        };
        deadlines.shifted(-offset(state.status, stopped_ms))
    }

    /// Sets them as the deadlines of the state.
    pub(super) fn restore(self, state: &mut UpdateState, stopped_ms: i64) {
        let deadlines = self.shifted(offset(state.status, stopped_ms));
        state.timeout_at = Timestamp(deadlines.timeout_at);
        state.ends_at = Timestamp(deadlines.ends_at);
        state.soaks_until = deadlines.soaks_until.map(Timestamp);
        state.waits_since = deadlines.waits_since.map(Timestamp);
    }

    fn shifted(self, by: i64) -> Self {
        Self {
            timeout_at: self.timeout_at.saturating_add(by),
            ends_at: self.ends_at.saturating_add(by),
            soaks_until: self.soaks_until.map(|at| at.saturating_add(by)),
            waits_since: self.waits_since.map(|at| at.saturating_add(by)),
        }
    }
}

fn offset(status: UpdateStatus, stopped_ms: i64) -> i64 {
    if status.is_open() && status != UpdateStatus::Scheduled {
        stopped_ms
    } else {
        0
    }
}
