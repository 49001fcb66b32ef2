//! A campaign that rolls back. The server does this itself; no plugin is called.

use tidegate_core::{
    campaign::{CampaignStatus, Transition},
    plugin::RollbackScope,
    time::Timestamp,
};

use super::{BATCH_SIZE, MAX_BATCHES, Tick, TickEnd};
use crate::{
    Result,
    ports::{RollbackProgress, Run, TickOutcome},
};

impl Tick<'_> {
    pub(super) async fn roll_back(&self, run: Run) -> Result<TickEnd> {
        if self.cancel_updates().await? || self.create_rollback_updates(&run).await? {
            return Ok(TickEnd::Requeued);
        }
        // Reads the counters again after the changes above, so that the campaign does not end on stale ones.
        let Some(run) = self.engine.store().run(self.run).await? else {
            return Ok(TickEnd::Leased);
        };
        if run.campaign.status != CampaignStatus::RollingBack {
            return Ok(TickEnd::Leased);
        }
        let rollback_progress = run.rollback_progress;
        let outcome = if is_finished(rollback_progress) {
            self.rolled_back(&run, rollback_progress)
        } else {
            TickOutcome {
                explain: Some(vec![progress(rollback_progress)]),
                ..self.unchanged(&run)
            }
        };
        self.apply_last(outcome).await
    }

    /// Rolls a campaign back again whose device turned out to run the firmware, or may run it, after the rollback.
    pub(super) async fn continue_rollback(&self, run: &Run) -> Result<TickEnd> {
        if is_finished(run.rollback_progress) {
            // A late report of a rollback update changes what is counted.
            let summary = vec![summary(run.rollback_progress)];
            if run.campaign.explain == summary {
                return self.idle(run).await;
            }
            let outcome = TickOutcome {
                explain: Some(summary),
                wake_at: None,
                ..self.unchanged(run)
            };
            return self.apply_last(outcome).await;
        }
        let explain = "devices that were silent when the campaign was rolled back turned out to have its firmware: they are \
                       rolled back too"
            .to_owned();
        self.apply(TickOutcome {
            status: run.campaign.status.after(Transition::ContinueRollback).ok(),
            journal: self.host_journal("rollback_continued", &explain),
            explain: Some(vec![explain]),
            wake_at: Some(self.now),
            ..self.unchanged(run)
        })
        .await?;
        Ok(TickEnd::Requeued)
    }

    /// Creates rollback updates for the devices that need one. True: some may be left.
    async fn create_rollback_updates(&self, run: &Run) -> Result<bool> {
        let scope = run
            .campaign
            .rollback
            .as_ref()
            .map_or(RollbackScope::Everything, |rollback| rollback.scope);
        let offer = self.offer(run);
        for _ in 0..MAX_BATCHES {
            let batch = self
                .engine
                .store()
                .create_rollback_updates(self.run, self.fence, scope, BATCH_SIZE, &offer)
                .await?;
            self.invalidate(&batch.affected);
            if batch.processed == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn rolled_back(&self, run: &Run, rollback_progress: RollbackProgress) -> TickOutcome {
        let explain = summary(rollback_progress);
        TickOutcome {
            status: Some(CampaignStatus::RolledBack),
            ended_at: Some(self.now),
            journal: self.host_journal("rolled_back", &explain),
            explain: Some(vec![explain]),
            wake_at: None::<Timestamp>,
            ..self.unchanged(run)
        }
    }
}

fn is_finished(rollback_progress: RollbackProgress) -> bool {
    let waits_for = rollback_progress.open_updates
        + rollback_progress.rollback_pending
        + rollback_progress.open_rollbacks;
    waits_for == 0
}

/// What a rollback that goes on waits for.
fn progress(rollback_progress: RollbackProgress) -> String {
    let open = rollback_progress.open_rollbacks;
    let cancelling = rollback_progress
        .open_updates
        .saturating_sub(rollback_progress.awaiting_version);
    let mut parts = vec![format!("{open} devices are being rolled back")];
    if cancelling > 0 {
        parts.push(format!("{cancelling} have not ended their update"));
    }
    if rollback_progress.awaiting_version > 0 {
        parts.push(format!(
            "{} acknowledged the cancellation, but may have installed the firmware: the next report of their version is awaited",
            rollback_progress.awaiting_version
        ));
    }
    parts.join("; ")
}

fn summary(rollback_progress: RollbackProgress) -> String {
    let mut parts = vec![format!(
        "{} devices were rolled back",
        rollback_progress.rolled_back
    )];
    if rollback_progress.rollback_failed > 0 {
        parts.push(format!(
            "{} rollbacks failed",
            rollback_progress.rollback_failed
        ));
    }
    if rollback_progress.rollback_impossible > 0 {
        parts.push(format!(
            "for {} the server does not have the previous firmware",
            rollback_progress.rollback_impossible
        ));
    }
    if rollback_progress.pinned > 0 {
        parts.push(format!(
            "{} are pinned and keep the campaign's firmware",
            rollback_progress.pinned
        ));
    }
    if rollback_progress.already_rolling_back > 0 {
        parts.push(format!(
            "{} were already being rolled back by other updates",
            rollback_progress.already_rolling_back
        ));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_progress_says_how_many_devices_are_awaited() {
        let rollback_progress = RollbackProgress {
            open_updates: 5,
            awaiting_version: 2,
            open_rollbacks: 4,
            ..RollbackProgress::default()
        };
        assert_eq!(
            progress(rollback_progress),
            "4 devices are being rolled back; 3 have not ended their update; 2 acknowledged the cancellation, but may have \
             installed the firmware: the next report of their version is awaited"
        );
    }

    #[test]
    fn the_summary_names_devices_that_were_not_rolled_back() {
        let rollback_progress = RollbackProgress {
            rolled_back: 7,
            rollback_failed: 2,
            rollback_impossible: 1,
            pinned: 3,
            already_rolling_back: 4,
            ..RollbackProgress::default()
        };
        assert_eq!(
            summary(rollback_progress),
            "7 devices were rolled back; 2 rollbacks failed; for 1 the server does not have the previous firmware; 3 \
             are pinned and keep the campaign's firmware; 4 were already being rolled back by other updates"
        );
    }
}
