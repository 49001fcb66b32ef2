//! One look at one campaign: observe, ask, check, apply, then admit or send back what was applied.

mod back;
mod forward;
mod observe;
mod trouble;

use std::time::Duration;

use tidegate_core::{campaign::CampaignStatus, time::Timestamp};

use super::calls::host_entry;
use crate::{
    Engine, Error, Result, devices,
    ports::{Applied, Fence, Run, RunRef, Touched},
};

/// Devices that are admitted, called back or sent back in one transaction.
const CHUNK: u32 = 1000;
/// How many such transactions one look may make, so that no campaign keeps the others waiting.
const CHUNKS: u32 = 20;
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
    let looked = Tick {
        engine,
        run,
        fence,
        now,
    }
    .look()
    .await;
    if let Err(error) = &looked {
        doubt(engine, error);
        // It may have decided something and not done what follows from that, so it is looked at again, whatever wake-up
        // it decided on. Where not even this can be written the lease stays, and runs out.
        engine.store().wake(run, now.plus(BACK_OFF)).await?;
    }
    engine.store().release(run, fence).await?;
    looked
}

/// When the database falls silent amid a change, nobody knows whether the change was made: what is remembered of devices
/// may be old.
pub(super) fn doubt(engine: &Engine, error: &Error) {
    if matches!(error, Error::Unavailable { .. }) {
        devices::forget_all(engine);
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
    async fn look(&self) -> Result<()> {
        let Some(run) = self.engine.store().run(self.run).await? else {
            return Ok(());
        };
        match run.campaign.status {
            CampaignStatus::InProgress => self.forward(run).await,
            CampaignStatus::RollingBack => self.back(run).await,
            CampaignStatus::Cancelled => self.stop(&run).await,
            _ => self.rest(&run).await,
        }
    }

    /// A cancelled campaign still has devices to call back.
    async fn stop(&self, run: &Run) -> Result<()> {
        if self.call_back().await? {
            return self.again_soon().await;
        }
        self.rest(run).await
    }

    /// Nothing to do until something happens.
    async fn rest(&self, run: &Run) -> Result<()> {
        self.apply(Applied {
            wake_at: None,
            ..self.nothing(run)
        })
        .await?;
        Ok(())
    }

    /// A change that changes nothing.
    fn nothing(&self, run: &Run) -> Applied {
        Applied::nothing(run.campaign.generation, self.now, run.trouble)
    }

    /// Applies what was decided, unless the campaign changed meanwhile: then what was decided is thrown away, and the
    /// campaign is looked at again.
    async fn apply(&self, applied: Applied) -> Result<bool> {
        let changed =
            applied.status.is_some() || applied.levels.is_some() || !applied.journal.is_empty();
        let won = self
            .engine
            .store()
            .apply(self.run, self.fence, applied)
            .await?;
        if !won {
            self.engine.signals.campaign_moved(self.run);
        } else if changed {
            self.engine.signals.campaign_changed(self.run);
        }
        Ok(won)
    }

    /// Calls back open updates; true when some may be left.
    async fn call_back(&self) -> Result<bool> {
        for _ in 0..CHUNKS {
            let touched = self
                .engine
                .store()
                .call_back(self.run, self.fence, CHUNK, self.now)
                .await?;
            self.forget(&touched);
            if touched.is_empty() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn forget(&self, touched: &[Touched]) {
        devices::forget(self.engine, touched);
        if !touched.is_empty() {
            self.engine.signals.campaign_changed(self.run);
        }
    }

    async fn again_soon(&self) -> Result<()> {
        self.engine.store().wake(self.run, self.now).await?;
        self.engine.signals.campaign_moved(self.run);
        Ok(())
    }

    /// The host's own act as a journal of one entry.
    fn host_journal(&self, outcome: &str, explain: &str) -> Vec<crate::ports::NewEntry> {
        vec![host_entry(self.now, outcome, explain.to_owned())]
    }
}
