//! One tick of one campaign: observe, decide, check, apply, then offer updates or roll devices back as applied.

mod observe;
mod offers;
mod plugin_failures;
mod retries;
mod rollback;
mod rollout;
mod wake_up;

use std::{convert::Infallible, sync::Arc, time::Duration};

use tidegate_core::{campaign::CampaignStatus, firmware::Firmware, time::Timestamp};
use tokio::time::sleep;

use super::{journal_entry::host_journal_entry, prepare::call_time};
use crate::{
    Engine, Error, Result, chain,
    ports::{AffectedDevice, Fence, Run, RunRef, TickOutcome},
};

/// Devices processed in one transaction.
const BATCH_SIZE: u32 = 1000;
/// Maximum number of such transactions in one tick, so that no campaign delays the others.
const MAX_BATCHES: u32 = 20;
/// Delay after a failure.
const BACK_OFF: Duration = Duration::from_secs(2);

/// Processes a campaign, unless another server holds its lease, or may hold it by a time that is not known yet. Called by
/// the loop when a campaign is woken or due; tests call it directly. True: work is left that need not wait for an event,
/// and the campaign is woken for it.
pub async fn tick(engine: &Engine, run: RunRef) -> Result<bool> {
    if !engine.clock.is_synchronized() {
        return Ok(false);
    }
    let now = engine.now();
    let until = now.plus(engine.settings.lease);
    let Some(fence) = engine
        .store()
        .lease(run, &engine.settings.server_name, now, until)
        .await?
    else {
        return Ok(false);
    };
    let lease = Lease {
        engine,
        run,
        fence,
        now,
    };
    // Polled concurrently: processing may wait for what renewing waits for.
    let result = tokio::select! {
        result = lease.process() => result,
        never = lease.renew() => match never {},
    };
    match &result {
        Ok(TickEnd::Released) => {}
        Ok(TickEnd::Leased) => engine.store().release(run, fence).await?,
        Ok(TickEnd::Requeued) => {
            engine.store().requeue(run, fence, now).await?;
            engine.signals.wake_campaign(run);
        }
        Err(error) => {
            invalidate_if_unavailable(engine, error);
            // The tick may have applied an outcome without its consequences, so the campaign becomes due again, whatever
            // wake-up time was applied. If this write fails too, the lease stays and expires.
            let at = now.plus(BACK_OFF);
            engine.store().requeue(run, fence, at).await?;
        }
    }
    Ok(result? == TickEnd::Requeued)
}

/// When the database becomes unavailable during a write, it is unknown whether the write happened: cached data about
/// devices may be stale.
pub(super) fn invalidate_if_unavailable(engine: &Engine, error: &Error) {
    if matches!(error, Error::Unavailable { .. }) {
        engine.caches.invalidate_all();
    }
}

/// How the processing of a campaign ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TickEnd {
    /// The lease was released with the outcome, or with the last batch of updates.
    Released,
    /// The lease is to be released.
    Leased,
    /// The lease is to be released, and the campaign is to be woken for the rest of its work.
    Requeued,
}

/// A lease of a campaign for one tick.
struct Lease<'a> {
    engine: &'a Engine,
    run: RunRef,
    fence: Fence,
    now: Timestamp,
}

/// One tick of a campaign that was read.
struct Tick<'a> {
    engine: &'a Engine,
    run: RunRef,
    fence: Fence,
    now: Timestamp,
    /// Firmware of the campaign. It never changes, so it is not read again for every tick.
    firmware: Arc<Firmware>,
}

/// How often a lease is renewed: three times before it expires.
fn renewal_period(lease: Duration) -> Duration {
    lease * 3 / 10
}

impl Lease<'_> {
    /// Renews the lease for as long as this future is polled. A lost lease shows when the tick is applied.
    async fn renew(&self) -> Infallible {
        let lease = self.engine.settings.lease;
        loop {
            sleep(renewal_period(lease)).await;
            let until = self.engine.now().plus(lease);
            let renewed = self.engine.store().renew_lease(self.run, self.fence, until);
            if let Err(error) = renewed.await {
                tracing::warn!(error = %chain(&error), "campaign lease not renewed; retrying");
            }
        }
    }

    async fn process(&self) -> Result<TickEnd> {
        let (engine, store) = (self.engine, self.engine.store());
        let Some(run) = store.run(self.run).await? else {
            return Ok(TickEnd::Leased);
        };
        let (tenant, id) = (self.run.tenant, run.campaign.spec.firmware);
        let firmware = engine.caches.firmware.firmware(store, tenant, id).await?;
        let tick = Tick {
            engine,
            run: self.run,
            fence: self.fence,
            now: call_time(&run.campaign, self.now),
            firmware: firmware.ok_or_else(|| Error::not_found("firmware", id))?,
        };
        match run.campaign.status {
            CampaignStatus::InProgress => tick.roll_out(run).await,
            CampaignStatus::RollingBack => tick.roll_back(run).await,
            CampaignStatus::RolledBack => tick.continue_rollback(&run).await,
            CampaignStatus::Cancelled => tick.cancel(&run).await,
            _ => tick.idle(&run).await,
        }
    }
}

impl Tick<'_> {
    /// Cancels the open updates of a cancelled campaign.
    async fn cancel(&self, run: &Run) -> Result<TickEnd> {
        if self.cancel_updates().await? {
            return Ok(TickEnd::Requeued);
        }
        self.idle(run).await
    }

    /// Sleeps until an event wakes the campaign.
    async fn idle(&self, run: &Run) -> Result<TickEnd> {
        let outcome = TickOutcome {
            wake_at: None,
            ..self.unchanged(run)
        };
        self.apply_last(outcome).await
    }

    /// An outcome without any change.
    fn unchanged(&self, run: &Run) -> TickOutcome {
        TickOutcome::unchanged(run.campaign.generation, self.now, run.plugin_failures)
    }

    /// Applies an outcome after which nothing is left to do, and releases the lease in the same transaction.
    async fn apply_last(&self, outcome: TickOutcome) -> Result<TickEnd> {
        let outcome = TickOutcome {
            releases_lease: true,
            ..outcome
        };
        Ok(if self.apply(outcome).await? {
            TickEnd::Released
        } else {
            TickEnd::Leased
        })
    }

    /// Applies an outcome. If the campaign changed meanwhile the outcome is discarded, and the campaign is woken again.
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

    /// Cancels open updates. True: some may be left.
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
        self.engine.caches.invalidate_affected(affected);
        self.notify_of_devices(affected.len());
    }

    /// Notifies the watchers of the campaign, if updates of this number of devices changed.
    fn notify_of_devices(&self, number: usize) {
        if number > 0 {
            self.engine.signals.notify_watchers(self.run);
        }
    }

    /// A journal of one entry for the server's own act.
    fn host_journal(&self, outcome: &str, explain: &str) -> Vec<crate::ports::NewJournalEntry> {
        vec![host_journal_entry(self.now, outcome, explain.to_owned())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn a_lease_of_ten_seconds_is_renewed_every_three() {
        let lease = Settings::default().lease;
        assert_eq!(lease, Duration::from_secs(10));
        assert_eq!(renewal_period(lease), Duration::from_secs(3));
    }
}
