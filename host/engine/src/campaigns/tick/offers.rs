//! Offers of the updates of released devices.

use tidegate_core::campaign::{CampaignStatus, ROLLBACK_WEIGHT};

use super::{BATCH_SIZE, MAX_BATCHES, Tick, TickEnd};
use crate::{
    Result,
    compatibility::{Policies, compatibility_policies},
    ports::{Offer, OfferCompatibility, Run},
};

/// Maximum number of released devices that are sorted at once, in one transaction: 1 MiB of keys.
const MAX_SORTED: u32 = 1 << 17;

/// A wave with released devices that have no update yet.
pub(super) struct OpenWave {
    wave: u32,
    /// Their number.
    devices: u64,
}

/// The waves with released devices that have no update yet. `levels`: those of the decision, if it changes them.
pub(super) fn open_waves(run: &Run, levels: Option<&[u64]>) -> Vec<OpenWave> {
    let levels = levels.unwrap_or_default().iter().copied();
    let levels = levels.chain(std::iter::repeat(0));
    let waves = (0_u32..).zip(&run.waves).zip(levels);
    let open = waves.map(|((number, wave), level)| OpenWave {
        wave: number,
        devices: level
            .max(wave.report.released)
            .saturating_sub(wave.admitted),
    });
    open.filter(|wave| wave.devices > 0).collect()
}

impl Tick<'_> {
    /// Creates updates for the released devices of these waves that have none yet, in order.
    pub(super) async fn offer_updates(&self, run: &Run, open: Vec<OpenWave>) -> Result<TickEnd> {
        let store = self.engine.store();
        let offer = Offer {
            compatibility: self.accepted_classes(run).await?,
            ..self.offer(run)
        };
        let (mut batches, mut offered_now) = (0, 0);
        let caches = &self.engine.caches;
        let mut open = open.into_iter().peekable();
        while let Some(OpenWave { wave, devices }) = open.next() {
            // A device that is to be checked from now on makes the campaign due again.
            let is_last = open.peek().is_none() && !run.has_skipped_devices_to_check;
            if devices > BATCH_SIZE.into() {
                store
                    .sort_released(self.run, self.fence, wave, MAX_SORTED)
                    .await?;
            }
            let mut remaining = devices;
            loop {
                if batches == MAX_BATCHES {
                    return Ok(TickEnd::Requeued);
                }
                let before = caches.read_model.versions();
                let offered = store
                    .offer_updates(self.run, self.fence, wave, BATCH_SIZE, &offer, is_last)
                    .await?;
                let number = offered.affected.len();
                // A batch of devices that were deleted offers nothing, and others may follow it.
                let has_progressed = offered.remaining < remaining;
                remaining = offered.remaining;
                batches += u32::from(has_progressed);
                offered_now += number as u64;
                caches.publish_affected(&before, offered.affected);
                self.notify_of_devices(number);
                if offered.lease_released {
                    return Ok(TickEnd::Released);
                }
                if remaining == 0 || !has_progressed {
                    break;
                }
            }
        }
        self.offer_skipped_updates(run, &offer, offered_now).await?;
        Ok(TickEnd::Leased)
    }

    /// What the compatibility of the campaign's updates is based on. Read once for all devices that a tick releases.
    async fn accepted_classes(&self, run: &Run) -> Result<OfferCompatibility> {
        let policies = compatibility_policies(&run.campaign);
        if policies.is_empty() {
            return Ok(OfferCompatibility::default());
        }
        let (store, tenant) = (self.engine.store(), self.run.tenant);
        let policies = Policies::load(self.engine.plugins(), tenant, policies).await?;
        let classes = store.accepted_classes(self.run).await?;
        Ok(OfferCompatibility::of_campaign(
            policies.attributes,
            classes,
        ))
    }

    /// Offers updates to skipped devices whose reason no longer applies, within the campaign's limit of devices in
    /// flight. The others wait until updates of the campaign end.
    async fn offer_skipped_updates(
        &self,
        run: &Run,
        offer: &Offer,
        offered_now: u64,
    ) -> Result<()> {
        let in_flight: u64 = run
            .waves
            .iter()
            .map(|wave| wave.report.counts.in_flight())
            .sum();
        let concurrent = in_flight.saturating_sub(run.scheduled_retries) + offered_now;
        let limit = run.campaign.spec.max_concurrent_updates.unwrap_or(u64::MAX);
        let capacity = limit.saturating_sub(concurrent);
        let limit = u32::try_from(capacity).unwrap_or(u32::MAX).min(BATCH_SIZE);
        if limit == 0 {
            return Ok(());
        }
        let affected = self
            .engine
            .store()
            .offer_skipped_updates(self.run, self.fence, limit, offer)
            .await?;
        self.invalidate(&affected);
        Ok(())
    }

    /// An offer of the campaign, whatever the compatibility of its devices is based on.
    pub(super) fn offer(&self, run: &Run) -> Offer {
        let spec = &run.campaign.spec;
        let is_rollback = run.campaign.status == CampaignStatus::RollingBack;
        let (weight, success_criteria, options) = if is_rollback {
            let (success_criteria, options) = (
                spec.success_criteria.for_rollback(),
                spec.options.for_rollback(),
            );
            (ROLLBACK_WEIGHT, success_criteria, options)
        } else {
            (
                spec.priority.weight(),
                spec.success_criteria,
                spec.options.clone(),
            )
        };
        Offer {
            firmware: spec.firmware,
            to_version: self.firmware.details.version.clone(),
            weight,
            success_criteria,
            options,
            compatibility: OfferCompatibility::default(),
            now: self.now,
        }
    }
}
