use std::time::Duration;

use anyhow::Context as _;
use tidegate_core::{
    campaign::CampaignStatus,
    device::{AutoConfirm, DeviceState},
    feedback::{Execution, Finished},
    id::UpdateId,
    plugin::RollbackScope,
    time::Timestamp,
    update::{
        Confirmation, EventError, OnDenied, Purpose, RetryPolicy, SuccessCriteria, UpdateEvent,
        UpdateOptions, UpdateStatus,
    },
};
use tidegate_engine::ports::{
    CampaignChange, DeviceChange, Devices as _, Offer, RecordError, Runs as _, SingleUpdates as _,
    TickOutcome,
};

use crate::{
    test_fixture::{NOON, StoreFixture, TIMEOUT, feedback, later},
    testing::{TestStore, on_both},
};

const MINUTE: Duration = Duration::from_mins(1);

fn options(most: u32) -> UpdateOptions {
    UpdateOptions {
        retries: RetryPolicy {
            max_retries: most,
            delay: MINUTE,
        },
        ..UpdateOptions::forced(TIMEOUT)
    }
}

/// A campaign of this many devices with this retry limit; all devices are admitted.
async fn admitted(
    store: &TestStore,
    devices: usize,
    most: u32,
) -> anyhow::Result<StoreFixture<'_>> {
    let fixture =
        StoreFixture::with_options(store, &[devices], SuccessCriteria::Reported, options(most))
            .await?;
    fixture.release(&[devices as u64]).await?;
    Ok(fixture)
}

/// The retry time of the first device's latest update.
async fn scheduled_at(fixture: &StoreFixture<'_>) -> anyhow::Result<Timestamp> {
    let latest_update = fixture.latest_update(fixture.devices[0]).await?.update;
    latest_update.attempt.scheduled_at.context("it is a retry")
}

async fn set_status(
    fixture: &StoreFixture<'_>,
    store: &TestStore,
    to: CampaignStatus,
) -> anyhow::Result<()> {
    let generation = fixture.read_run().await?.campaign.generation;
    let change = CampaignChange {
        status: Some(to),
        ..CampaignChange::default()
    };
    let changed = store.change_campaign(fixture.tenant, fixture.campaign(), generation, change);
    anyhow::ensure!(changed.await?, "the status did not change");
    Ok(())
}

async fn visible_update(store: &TestStore) -> anyhow::Result<Option<UpdateId>> {
    let view = store.poll_view(store.ours, "d-0").await?;
    Ok(view.context("the device")?.open.map(|open| open.id))
}

on_both! {
    async fn a_success_after_two_retries_counts_no_failure(store) {
        let fixture = admitted(store, 1, 3).await?;
        let key = fixture.devices[0];
        let first = fixture.latest_update(key).await?.update;
        let mut at = later(1);
        for count in 1..=2 {
            let failed = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure, "CHECKSUM_MISMATCH"));
            let recorded = fixture.record_event(key, failed.clone(), at).await??;
            assert_eq!((&recorded.view.open, recorded.campaigns), (&None, vec![fixture.campaign()]));
            assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view), "the cached view equals the stored one");

            let next = fixture.latest_update(key).await?.update;
            assert_eq!((next.state.status, next.attempt.count), (UpdateStatus::Scheduled, count));
            assert_eq!((next.attempt.first, next.attempt.is_retried), (Some(first.id), false));
            assert_eq!((&next.from_version, next.from_firmware), (&first.from_version, first.from_firmware));
            let due = scheduled_at(&fixture).await?;
            assert!(due >= at.plus(MINUTE * count) && due <= at.plus(MINUTE * count * 5 / 4), "{due:?}");
            let counts = fixture.read_run().await?.waves[0].report.counts;
            assert_eq!((counts.offered, counts.failed, counts.total()), (1, 0, 1));
            let device = store.device(store.ours, "d-0").await?.context("the device")?;
            assert_eq!(device.state, DeviceState::Pending);

            // A scheduled retry accepts no feedback and is not visible_update.
            let early = fixture.record_event(key, failed, at).await?;
            assert!(matches!(early, Err(RecordError::Refused(EventError::Closed))), "{early:?}");
            assert!(store.expire_updates(Timestamp(due.0 - 1), 10).await?.is_empty());
            assert_eq!(visible_update(store).await?, None);
            assert_eq!(store.expire_updates(due, 10).await?.len(), 1);
            assert_eq!(visible_update(store).await?, Some(next.id));
            at = due.plus(Duration::from_secs(1));
        }
        fixture.report_success(key, at).await?;

        let attempts = fixture.updates_of(key).await?.items;
        let attempts: Vec<_> = attempts.iter().map(|row| (row.update.state.status, row.update.attempt.is_retried)).collect();
        let failed = (UpdateStatus::Failed, true);
        assert_eq!(attempts, [(UpdateStatus::Completed, false), failed, failed]);
        let run = fixture.read_run().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.completed, report.counts.failed, report.failures.len()), (1, 0, 0));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 1));
        assert_eq!(run.durations.count, 1);
        assert!(run.durations.p95 < MINUTE, "an attempt is timed from its own offer: {:?}", run.durations);
        let totals = store.totals(store.ours, key).await?;
        assert_eq!((totals.completed, totals.failed), (1, 0));
    }

    async fn the_last_failed_attempt_counts_as_failure(store) {
        let fixture = admitted(store, 1, 1).await?;
        let key = fixture.devices[0];
        fixture.report_failure(key, "no", later(1)).await?;
        let due = scheduled_at(&fixture).await?;
        store.expire_updates(due, 10).await?;
        // A timeout is retried as well.
        assert_eq!(store.expire_updates(due.plus(TIMEOUT), 10).await?.len(), 1);
        let last = fixture.latest_update(key).await?.update;
        assert_eq!((last.state.status, last.attempt.count), (UpdateStatus::TimedOut, 1));
        let run = fixture.read_run().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.timed_out, report.counts.offered, report.failures.len()), (1, 0, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 1));
        assert!(store.expire_updates(later(1_000_000), 10).await?.is_empty());
    }

    async fn cancelled_updates_are_not_retried(store) {
        let fixture = admitted(store, 3, 3).await?;
        let [waits, report_failure, continues] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        fixture.report_failure(waits, "no", later(1)).await?;
        let fence = fixture.start_rollback().await?;
        assert_eq!(store.cancel_updates(fixture.run, fence, 10, later(2)).await?.len(), 3);
        assert_eq!(fixture.status_of(waits).await?, UpdateStatus::Cancelled, "immediately: it was not offered");
        fixture.report_failure(report_failure, "no", later(3)).await?;
        let no = UpdateEvent::CancelFeedback(feedback(Execution::Rejected, Finished::None, "busy"));
        fixture.record_event(continues, no, later(3)).await??;
        fixture.report_failure(continues, "no", later(4)).await?;
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.cancelled, counts.failed, counts.in_flight()), (1, 2, 0));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 3), "only the last attempts count");
        store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &fixture.offer(later(5))).await?;
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_pending, 0);
    }

    async fn a_retry_of_a_cancelled_campaign_is_dropped(store) {
        let fixture = admitted(store, 1, 3).await?;
        fixture.report_failure(fixture.devices[0], "no", later(1)).await?;
        set_status(&fixture, store, CampaignStatus::Cancelled).await?;
        store.expire_updates(scheduled_at(&fixture).await?, 10).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Cancelled);
        assert_eq!(fixture.read_run().await?.rollback_progress.open_updates, 0);
    }

    async fn a_retry_waits_while_its_campaign_is_paused(store) {
        let fixture = admitted(store, 1, 3).await?;
        fixture.report_failure(fixture.devices[0], "no", later(1)).await?;
        set_status(&fixture, store, CampaignStatus::Paused).await?;
        let due = scheduled_at(&fixture).await?;
        assert_eq!(store.expire_updates(due, 10).await?.len(), 1, "it is postponed");
        assert!(store.expire_updates(due.plus(MINUTE / 2), 10).await?.is_empty(), "it is not due in every round");
        assert_eq!((fixture.status_of(fixture.devices[0]).await?, visible_update(store).await?), (UpdateStatus::Scheduled, None));
        assert_eq!(scheduled_at(&fixture).await?, due);

        set_status(&fixture, store, CampaignStatus::InProgress).await?;
        assert_eq!(store.expire_updates(due.plus(MINUTE), 10).await?.len(), 1);
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Offered);
        let offered = fixture.latest_update(fixture.devices[0]).await?.update;
        assert_eq!(offered.state.timeout_at, due.plus(MINUTE).plus(TIMEOUT), "the full timeout applies");
    }

    async fn a_pinned_device_gets_no_retry(store) {
        let fixture = admitted(store, 1, 3).await?;
        fixture.report_failure(fixture.devices[0], "no", later(1)).await?;
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        store.expire_updates(scheduled_at(&fixture).await?, 10).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Cancelled);
    }

    async fn a_pin_ends_a_scheduled_retry_at_once(store) {
        let fixture = admitted(store, 2, 3).await?;
        let key = fixture.devices[0];
        fixture.report_failure(key, "no", later(1)).await?;
        let offer = Offer { options: options(1), ..fixture.offer(later(2)) };
        let single = fixture.devices[1];
        fixture.report_success(single, later(2)).await?;
        let old = Offer { firmware: fixture.old, ..offer };
        let created = store.create_update(store.ours, single, &old).await?;
        let tidegate_engine::ports::OfferResult::Created(first, _) = created else {
            anyhow::bail!("{created:?}");
        };
        let failed = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure, "no"));
        fixture.report(single, first, failed, later(3)).await?;

        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(4)) };
        let woken = store.change_device(store.ours, "d-0", pin.clone()).await?;
        assert_eq!(woken, [fixture.campaign()]);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled);
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.offered, counts.cancelled, run.scheduled_retries), (0, 1, 0));
        let device = store.device(store.ours, "d-0").await?.context("the device")?;
        assert!(device.pinned && device.state != DeviceState::Pending, "{device:?}");
        assert!(store.due(later(5), 10).await?.contains(&fixture.run), "the campaign is woken");
        // Nothing is left to end.
        assert_eq!(store.change_device(store.ours, "d-0", pin.clone()).await?, []);

        // Operators may update a pinned device.
        assert_eq!(store.change_device(store.ours, "d-1", pin).await?, []);
        assert_eq!(store.expire_updates(later(1000), 10).await?.len(), 1, "the retry of the single update is offered");
    }

    async fn a_limited_campaign_offers_due_retries_in_its_tick(store) {
        let fixture = admitted(store, 3, 3).await?;
        let limit = CampaignChange { max_concurrent_updates: Some(Some(2)), ..CampaignChange::default() };
        let generation = fixture.read_run().await?.campaign.generation;
        assert!(store.change_campaign(fixture.tenant, fixture.campaign(), generation, limit).await?);
        let [early, late, other] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        fixture.report_failure(early, "no", later(1)).await?;
        fixture.report_failure(late, "no", later(30)).await?;
        let run = fixture.read_run().await?;
        assert_eq!((run.scheduled_retries, run.concurrent_updates()), (2, 1));

        let fence = fixture.lease().await?;
        assert_eq!(store.offer_due_retries(fixture.run, fence, 10, later(31)).await?, [], "neither is due");
        let idle = TickOutcome::unchanged(run.campaign.generation, later(31), run.plugin_failures);
        assert!(store.apply(fixture.run, fence, idle).await?);
        store.release(fixture.run, fence).await?;
        let due = later(3700);
        assert_eq!(store.due(due, 10).await?, [], "nothing wakes the campaign yet");
        assert_eq!(store.expire_updates(due, 10).await?.len(), 3, "two retries wait, and the other device timed out");
        let due_campaigns = store.due(due, 10).await?;
        assert_eq!(due_campaigns, [fixture.run], "the campaign is woken");
        assert_eq!(fixture.status_of(early).await?, UpdateStatus::Scheduled);
        assert!(store.expire_updates(due.plus(MINUTE / 2), 10).await?.is_empty(), "they are not due in every round");
        assert_eq!(fixture.status_of(other).await?, UpdateStatus::Scheduled);

        let fence = fixture.lease().await?;
        let outdated = tidegate_engine::ports::Fence(fence.0 - 1);
        assert_eq!(store.offer_due_retries(fixture.run, outdated, 10, due).await?, []);
        let offered = store.offer_due_retries(fixture.run, fence, 1, due).await?;
        assert_eq!(offered.iter().map(|it| it.device).collect::<Vec<_>>(), [early], "the longest overdue first");
        assert_eq!(fixture.latest_update(early).await?.update.state.timeout_at, due.plus(TIMEOUT));
        assert_eq!(fixture.status_of(late).await?, UpdateStatus::Scheduled);
        let run = fixture.read_run().await?;
        assert_eq!((run.scheduled_retries, run.concurrent_updates()), (2, 1));
        assert_eq!(store.offer_due_retries(fixture.run, fence, 10, due).await?.len(), 1);
        assert_eq!(fixture.status_of(late).await?, UpdateStatus::Offered);
        assert_eq!(fixture.read_run().await?.scheduled_retries, 1, "the other device's retry is not due");
        set_status(&fixture, store, CampaignStatus::Paused).await?;
        assert_eq!(store.offer_due_retries(fixture.run, fence, 10, later(100_000)).await?, []);
    }

    async fn rollback_updates_are_retried(store) {
        let fixture = admitted(store, 1, 1).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        let fence = fixture.start_rollback().await?;
        store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &fixture.offer(later(2))).await?;
        fixture.report_failure(key, "no", later(3)).await?;
        let back = fixture.latest_update(key).await?.update;
        assert_eq!(back.campaign, Some((fixture.campaign(), Purpose::Rollback)));
        assert_eq!(back.state.status, UpdateStatus::Scheduled);
        assert!(store.cancel_updates(fixture.run, fence, 10, later(4)).await?.is_empty(), "rollback updates are not cancelled");
        store.expire_updates(scheduled_at(&fixture).await?, 10).await?;
        fixture.report_success(key, later(200)).await?;
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.rolled_back, rollback_progress.rollback_failed, rollback_progress.open_rollbacks), (1, 0, 0));
    }

    async fn auto_confirm_applies_to_every_retry(store) {
        let asks = UpdateOptions {
            confirmation: Some(Confirmation { on_denied: OnDenied::Reject, timeout: TIMEOUT }),
            ..options(2)
        };
        let fixture = StoreFixture::with_options(store, &[2], SuccessCriteria::Reported, asks).await?;
        fixture.release(&[2]).await?;
        let yes = UpdateEvent::ConfirmationFeedback(feedback(Execution::Confirmed, Finished::None, "go"));
        for key in &fixture.devices {
            fixture.record_event(*key, yes.clone(), later(1)).await??;
            fixture.report_failure(*key, "no", later(2)).await?;
        }
        let always = AutoConfirm { initiator: None, remark: None, activated_at: later(3) };
        store.activate_auto_confirm(store.ours, fixture.devices[0], always).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Scheduled);
        store.expire_updates(later(600), 10).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Offered);
        assert_eq!(fixture.status_of(fixture.devices[1]).await?, UpdateStatus::WaitingConfirmation);
        let no = UpdateEvent::ConfirmationFeedback(feedback(Execution::Denied, Finished::None, "never"));
        fixture.record_event(fixture.devices[1], no, later(601)).await??;
        assert_eq!(fixture.status_of(fixture.devices[1]).await?, UpdateStatus::Rejected, "there is no further retry");
    }

    async fn a_single_update_is_retried_and_blocks_others_meanwhile(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let key = fixture.devices[0];
        let offer = Offer { options: options(1), ..fixture.offer(NOON) };
        let created = store.create_update(store.ours, key, &offer).await?;
        let tidegate_engine::ports::OfferResult::Created(first, _) = created else {
            anyhow::bail!("{created:?}");
        };
        let failed = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure, "no"));
        fixture.report(key, first, failed, later(1)).await?;
        let again = store.create_update(store.ours, key, &offer).await?;
        assert!(matches!(again, tidegate_engine::ports::OfferResult::AlreadyOpen(id) if id != first), "{again:?}");
        assert!(store.delete_device(store.ours, "d-0", later(2)).await?.is_some());
        assert!(store.expire_updates(later(1000), 10).await?.is_empty());
    }
}
