//! Heartbeats of the reporting clock.

use std::{sync::atomic::Ordering, time::Duration};

use crate::{
    Engine, Result,
    ports::{Beat, Clock as _, ClockAfterBeat, Interruption},
};

impl Engine {
    /// Records a heartbeat of the reporting clock if one is due. Must precede the deadlines of every round, because it
    /// notices a gap and a jump of the time. Returns whether deadlines may be compared with the clock: false while another
    /// server may have recorded the heartbeats before this one started, and until the time of the database is known.
    /// Without effect if time is simulated.
    pub async fn keep_reporting_clock(&self) -> Result<bool> {
        if !self.clock.is_wall_clock() {
            return Ok(true);
        }
        if !self.clock.is_synchronized() {
            return Ok(false);
        }
        let now = self.now();
        let clock = self.store().reporting_clock().await?;
        let before_start = *self.interruptions.beat_before_start.lock();
        if before_start.is_some_and(|before| clock.beat_at != Some(before)) {
            // Another server has recorded a heartbeat since.
            self.interruptions.has_beaten.store(true, Ordering::Relaxed);
        }
        let is_start = !self.interruptions.has_beaten.load(Ordering::Relaxed);
        // While the clock stands still, the next heartbeat that is due is early enough.
        let takes_refusals = clock.runs(now) || clock.is_beat_due(now);
        let has_refused = takes_refusals
            && self
                .interruptions
                .has_refused
                .swap(false, Ordering::Relaxed);
        if !(is_start || has_refused || clock.is_beat_due(now)) {
            return Ok(true);
        }
        let interruption = match (is_start, has_refused) {
            (_, true) => Some(Interruption::RefusedReports),
            (true, false) => Some(Interruption::Start),
            (false, false) => None,
        };
        let beaten = self
            .record_beat(interruption, !clock.has_recent_beat(now))
            .await;
        if beaten.is_err() && has_refused {
            self.interruptions.note_refusal();
        }
        let ClockAfterBeat { clock, at } = beaten?;
        let is_recorded = clock.beat_at == Some(at);
        if is_recorded {
            self.interruptions.has_beaten.store(true, Ordering::Relaxed);
        } else {
            *self.interruptions.beat_before_start.lock() = clock.beat_at;
        }
        Ok(is_recorded)
    }

    /// Notes that an authenticated device could not report. If this server takes no report at all now, the clock stands
    /// still from the next heartbeat on. A report that is refused because of its own row is a matter of that device alone.
    pub fn note_refused_report(&self) {
        if self.store().is_unavailable() || self.update_writer.is_full() {
            self.interruptions.note_refusal();
        }
    }

    async fn record_beat(
        &self,
        interruption: Option<Interruption>,
        is_gap: bool,
    ) -> Result<ClockAfterBeat> {
        let grace = if interruption.is_some() || is_gap {
            self.reporting_grace().await?
        } else {
            2 * self.settings.polling.interval
        };
        let beat = Beat {
            interruption,
            grace,
        };
        let after = self.store().record_beat(&*self.ports.clock, beat).await?;
        if after.clock.runs_from == Some(after.at.plus(grace)) {
            tracing::info!(
                ?interruption,
                grace_seconds = grace.as_secs(),
                "devices could not report; deadlines of updates are extended"
            );
        }
        Ok(after)
    }

    /// Two polling intervals: the longest of the tenants, their overrides and single devices that are being updated. At most
    /// two days, because a polling interval is less than one.
    async fn reporting_grace(&self) -> Result<Duration> {
        let default = self.settings.polling.interval;
        let tenants = self.store().tenants().await?;
        let of_tenants = tenants
            .iter()
            .map(|tenant| tenant.settings.polling.longest_interval(default));
        let of_devices = self.store().longest_interval_of_updated_devices().await?;
        let longest = of_tenants.chain(of_devices).max().unwrap_or(default);
        Ok(2 * longest)
    }
}
