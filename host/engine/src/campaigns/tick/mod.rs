//! One look at one campaign: observe, ask, check, apply, then admit or send back what was applied.

mod observe;
mod plugin_failures;
mod rollback;
mod rollout;

use std::time::Duration;

use tidegate_core::{campaign::CampaignStatus, time::Timestamp};

use super::calls::host_journal_entry;
use crate::{
    Engine, Error, Result, devices,
    ports::{AffectedDevice, Fence, Run, RunRef, TickOutcome},
};

/// Devices that are admitted, called back or sent back in one transaction.
const BATCH_SIZE: u32 = 1000;
/// How many such transactions one look may make, so that no campaign keeps the others waiting.
const MAX_BATCHES: u32 = 20;
/// How long to wait after a failure.
const BACK_OFF: Duration = Duration::from_secs(2);

/// Looks at a campaign, unless another host is at it. The loop does so whenever a campaign moved or is due; tests step
/// campaigns with it.
pub async fn tick(engine: &Engine, run: RunRef) -> Result<()> {
    let now = engine.now();
    let until = now.plus(engine.settings.lease);
    let Some(fence) = engine
        .store()
        .lease(run, &engine.settings.owner, now, until)
        .await?
    else {
        return Ok(());
    };
    let result = Tick {
        engine,
        run,
        fence,
        now,
    }
    .process()
    .await;
    if let Err(error) = &result {
        invalidate_if_unavailable(engine, error);
        // It may have decided something and not done what follows from that, so it is looked at again, whatever wake-up
        // it decided on. Where not even this can be written the lease stays, and runs out.
        engine.store().wake(run, now.plus(BACK_OFF)).await?;
    }
    engine.store().release(run, fence).await?;
    result
}

/// When the database falls silent amid a change, nobody knows whether the change was made: what is remembered of devices
/// may be old.
pub(super) fn invalidate_if_unavailable(engine: &Engine, error: &Error) {
    if matches!(error, Error::Unavailable { .. }) {
        devices::invalidate_all(engine);
    }
}

/// One look under one lease.
struct Tick<'a> {
    engine: &'a Engine,
    run: RunRef,
    fence: Fence,
    now: Timestamp,
}

impl Tick<'_> {
    async fn process(&self) -> Result<()> {
        let Some(run) = self.engine.store().run(self.run).await? else {
            return Ok(());
        };
        match run.campaign.status {
            CampaignStatus::InProgress => self.roll_out(run).await,
            CampaignStatus::RollingBack => self.roll_back(run).await,
            CampaignStatus::Cancelled => self.cancel(&run).await,
            _ => self.idle(&run).await,
        }
    }

    /// A cancelled campaign still has devices to call back.
    async fn cancel(&self, run: &Run) -> Result<()> {
        if self.cancel_updates().await? {
            return self.requeue().await;
        }
        self.idle(run).await
    }

    /// Nothing to do until something happens.
    async fn idle(&self, run: &Run) -> Result<()> {
        self.apply(TickOutcome {
            wake_at: None,
            ..self.unchanged(run)
        })
        .await?;
        Ok(())
    }

    /// A change that changes nothing.
    fn unchanged(&self, run: &Run) -> TickOutcome {
        TickOutcome::unchanged(run.campaign.generation, self.now, run.plugin_failures)
    }

    /// Applies what was decided, unless the campaign changed meanwhile: then what was decided is thrown away, and the
    /// campaign is looked at again.
    async fn apply(&self, outcome: TickOutcome) -> Result<bool> {
        let changed =
            outcome.status.is_some() || outcome.levels.is_some() || !outcome.journal.is_empty();
        let won = self
            .engine
            .store()
            .apply(self.run, self.fence, outcome)
            .await?;
        if !won {
            self.engine.signals.wake_campaign(self.run);
        } else if changed {
            self.engine.signals.notify_watchers(self.run);
        }
        Ok(won)
    }

    /// Calls back open updates; true when some may be left.
    async fn cancel_updates(&self) -> Result<bool> {
        for _ in 0..MAX_BATCHES {
            let affected = self
                .engine
                .store()
                .cancel_updates(self.run, self.fence, BATCH_SIZE, self.now)
                .await?;
            self.invalidate(&affected);
            if affected.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn invalidate(&self, affected: &[AffectedDevice]) {
        devices::invalidate_affected(self.engine, affected);
        if !affected.is_empty() {
            self.engine.signals.notify_watchers(self.run);
        }
    }

    async fn requeue(&self) -> Result<()> {
        self.engine.store().wake(self.run, self.now).await?;
        self.engine.signals.wake_campaign(self.run);
        Ok(())
    }

    /// The host's own act as a journal of one entry.
    fn host_journal(&self, outcome: &str, explain: &str) -> Vec<crate::ports::NewJournalEntry> {
        vec![host_journal_entry(self.now, outcome, explain.to_owned())]
    }
}
