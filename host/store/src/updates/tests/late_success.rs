use std::time::Duration;

use tidegate_core::{
    campaign::ROLLBACK_WEIGHT,
    feedback::{Execution, Finished},
    plugin::RollbackScope,
    update::{EventError, Purpose, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::ports::{
    DeviceChange, DeviceReport, Fence, Offer, OfferResult, RecordedReport, ReportedFirmware,
    RollbackBatch, Runs as _, Updates as _,
};

use super::*;
use crate::test_fixture::TIMEOUT;

/// A campaign whose devices are offered the update, with this many retries.
async fn offered(
    store: &TestStore,
    devices: usize,
    max_retries: u32,
) -> anyhow::Result<StoreFixture<'_>> {
    let options = UpdateOptions {
        retries: RetryPolicy {
            max_retries,
            delay: Duration::from_mins(1),
        },
        ..UpdateOptions::forced(TIMEOUT)
    };
    let criteria = SuccessCriteria::Reported;
    let fixture = StoreFixture::with_options(store, &[devices], criteria, options).await?;
    fixture.release(&[devices as u64]).await?;
    Ok(fixture)
}

/// A campaign whose updates have timed out, with this many retries.
async fn timed_out(
    store: &TestStore,
    devices: usize,
    max_retries: u32,
) -> anyhow::Result<StoreFixture<'_>> {
    let fixture = offered(store, devices, max_retries).await?;
    let ended = store.expire_updates(NOON.plus(TIMEOUT), 100).await?;
    assert_eq!(ended.len(), devices);
    Ok(fixture)
}

/// A campaign whose devices have reported a failure, with this many retries.
async fn failed(
    store: &TestStore,
    devices: usize,
    max_retries: u32,
) -> anyhow::Result<StoreFixture<'_>> {
    let fixture = offered(store, devices, max_retries).await?;
    for device in fixture.devices.clone() {
        fixture
            .report_failure(device, "no space left", later(10))
            .await?;
    }
    Ok(fixture)
}

/// Reports for the first update of the device.
async fn report(
    fixture: &StoreFixture<'_>,
    device: DeviceKey,
    finished: Finished,
) -> anyhow::Result<Result<RecordedReport, RecordError>> {
    let updates = fixture.updates_of(device).await?.items;
    let first = updates.last().context("an update")?.update.id;
    let event = UpdateEvent::Feedback(feedback(Execution::Closed, finished, "done"));
    Ok(fixture.report(device, first, event, later(3700)).await)
}

async fn roll_back(
    fixture: &StoreFixture<'_>,
    fence: Fence,
    scope: RollbackScope,
) -> anyhow::Result<RollbackBatch> {
    let offer = Offer {
        weight: ROLLBACK_WEIGHT,
        ..fixture.offer(later(3650))
    };
    let store = fixture.store();
    let created = store.create_rollback_updates(fixture.run, fence, scope, 10, &offer);
    Ok(created.await?)
}

on_both! {
    async fn a_success_after_the_timeout_moves_the_counters_over(store) {
        let fixture = timed_out(store, 2, 0).await?;
        let [late, silent] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        let recorded = report(&fixture, late, Finished::Success).await??;
        assert_eq!((recorded.changes_update, recorded.campaigns), (true, vec![fixture.campaign()]));
        let run = fixture.read_run().await?;
        let wave = &run.waves[0].report;
        assert_eq!((wave.counts.completed, wave.counts.timed_out), (1, 1));
        assert_eq!((wave.failures.len(), wave.failures[0].devices), (1, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 2));
        assert_eq!(run.durations.count, 2);
        let update = fixture.latest_update(late).await?.update;
        assert_eq!((update.state.status, update.state.error), (UpdateStatus::Completed, None));
        let device = device(store, 0).await?;
        assert_eq!((device.state, device.sw_version.as_deref()), (DeviceState::InSync, Some("1.1.0")));

        let again = report(&fixture, late, Finished::Success).await??;
        assert!(!again.changes_update, "a repetition");
        report(&fixture, silent, Finished::Success).await??;
        assert_eq!(fixture.read_run().await?.waves[0].report.failures.len(), 0);
    }

    async fn a_failure_after_the_timeout_is_refused(store) {
        let fixture = timed_out(store, 1, 0).await?;
        let refused = report(&fixture, fixture.devices[0], Finished::Failure).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.timed_out, 1);
    }

    async fn a_success_withdraws_the_retry_that_was_not_offered(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Scheduled);
        report(&fixture, key, Finished::Success).await??;
        let updates = fixture.updates_of(key).await?.items;
        let statuses: Vec<_> = updates.iter().map(|row| (row.update.state.status, row.update.attempt.is_retried)).collect();
        assert_eq!(statuses, [(UpdateStatus::Completed, false)]);
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.completed, counts.offered, counts.total()), (1, 0, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 1));
        assert_eq!(device(store, 0).await?.state, DeviceState::InSync);
        assert!(store.expire_updates(later(100_000), 10).await?.is_empty());
    }

    async fn a_success_after_a_later_try_was_offered_is_refused(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        assert_eq!(store.expire_updates(later(3680), 10).await?.len(), 1);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Offered);
        let refused = report(&fixture, key, Finished::Success).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.offered, 1);
    }

    async fn a_success_after_the_retry_was_cancelled_is_taken(store) {
        let fixture = timed_out(store, 3, 2).await?;
        let [by_operator, by_pin, by_rollback] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        fixture.record_event(by_operator, UpdateEvent::CancelRequested, later(3610)).await??;
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(3610)) };
        store.change_device(store.ours, "d-1", pin).await?;
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(3620)).await?;
        roll_back(&fixture, fence, RollbackScope::Everything).await?;
        for (device, taken) in fixture.devices.iter().zip(1..) {
            assert_eq!(fixture.status_of(*device).await?, UpdateStatus::Cancelled);
            let recorded = report(&fixture, *device, Finished::Success).await??;
            assert_eq!((recorded.changes_update, recorded.campaigns), (true, vec![fixture.campaign()]));
            let updates = fixture.updates_of(*device).await?.items;
            let statuses: Vec<_> = updates.iter().map(|row| (row.update.state.status, row.update.attempt.is_retried)).collect();
            assert_eq!(statuses, [(UpdateStatus::Completed, false)]);
            let run = fixture.read_run().await?;
            let counts = run.waves[0].report.counts;
            assert_eq!((counts.completed, counts.cancelled, counts.total()), (taken, 3 - taken, 3));
            assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, taken));
            let again = report(&fixture, *device, Finished::Success).await??;
            assert!(!again.changes_update, "a repetition");
        }
        let back = roll_back(&fixture, fence, RollbackScope::Everything).await?;
        assert_eq!((back.processed, back.affected.len()), (3, 2), "one is pinned");
        let rolled_back = fixture.latest_update(by_rollback).await?.update;
        assert_eq!((rolled_back.firmware, rolled_back.campaign.map(|it| it.1)), (fixture.old, Some(Purpose::Rollback)));
        assert_eq!(fixture.status_of(by_pin).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.rollback_progress.pinned, 1);
    }

    async fn the_new_version_withdraws_a_cancelled_retry(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, UpdateEvent::CancelRequested, later(3610)).await??;
        fixture.report_version(key, "1.0.0", later(3620)).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled, "it has not installed");
        fixture.report_version(key, "1.1.0", later(3710)).await?;
        assert_eq!(fixture.updates_of(key).await?.total, 1);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.completed, counts.cancelled, counts.total()), (1, 0, 1));
        assert_eq!(device(store, 0).await?.drift, None);
    }

    async fn a_success_after_another_update_was_offered_is_refused(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, UpdateEvent::CancelRequested, later(3610)).await??;
        let offer = Offer { firmware: fixture.old, to_version: "1.0.0".into(), ..fixture.offer(later(3620)) };
        let offered = store.create_updates(fixture.tenant, &[key], &offer, true).await?;
        assert!(matches!(offered[..], [OfferResult::Created(..)]), "{offered:?}");
        let refused = report(&fixture, key, Finished::Success).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.cancelled, 1);
    }

    async fn a_success_after_a_cancellation_that_was_not_answered_is_taken(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        fixture.release(&[4]).await?;
        let [reported, version, forced, acknowledged] = fixture.devices[..] else {
            anyhow::bail!("four devices");
        };
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(10)).await?;
        fixture.record_event(forced, UpdateEvent::ForceCancel, later(11)).await??;
        let answer = UpdateEvent::CancelFeedback(feedback(Execution::Canceled, Finished::Success, "stopped"));
        fixture.record_event(acknowledged, answer, later(11)).await??;
        assert_eq!(store.expire_updates(later(10).plus(TIMEOUT), 10).await?.len(), 2);
        let back = roll_back(&fixture, fence, RollbackScope::InFlight).await?;
        assert_eq!((back.processed, back.affected.len()), (4, 0), "none has installed anything");

        report(&fixture, reported, Finished::Success).await??;
        fixture.report_version(version, "1.1.0", later(3700)).await?;
        for device in [forced, acknowledged] {
            let refused = report(&fixture, device, Finished::Success).await?;
            assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        }
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.completed, counts.cancelled), (2, 2));
        // They were in flight when the campaign was rolled back.
        let back = roll_back(&fixture, fence, RollbackScope::InFlight).await?;
        let affected: Vec<_> = back.affected.iter().map(|affected| affected.device).collect();
        assert_eq!((back.processed, affected), (2, vec![reported, version]));
    }

    async fn a_device_that_boots_the_new_version_after_its_rollback_is_rolled_back(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        fixture.release(&[4]).await?;
        let [late, installed, pinned, old] = fixture.devices[..] else {
            anyhow::bail!("four devices");
        };
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(10)).await?;
        for device in &fixture.devices {
            let answer = UpdateEvent::CancelFeedback(feedback(Execution::Canceled, Finished::Success, "stopped"));
            fixture.record_event(*device, answer, later(11)).await??;
            fixture.report_version(*device, "1.0.0", later(12)).await?;
        }
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(12)) };
        store.change_device(store.ours, "d-2", pin).await?;
        assert_eq!(roll_back(&fixture, fence, RollbackScope::InFlight).await?.processed, 4);

        let pending = async || anyhow::Ok(fixture.read_run().await?.rollback_progress.rollback_pending);
        for device in [late, pinned] {
            fixture.report_version(device, "1.1.0", later(20)).await?;
        }
        let firmware = ReportedFirmware { name: "edge".into(), version: "1.1.0".into() };
        let report = DeviceReport { tenant: store.ours, device: installed, by: None, read_at: None, at: later(20), event: DeviceEvent::Installed(firmware) };
        store.report(report).await?;
        fixture.report_version(old, "0.9.0", later(20)).await?;
        assert_eq!(pending().await?, 3);
        // Pinned devices are counted once, however often they change their version.
        for round in 1..3 {
            let back = roll_back(&fixture, fence, RollbackScope::InFlight).await?;
            assert_eq!(back.affected.len(), if round == 1 { 2 } else { 0 });
            assert_eq!(fixture.read_run().await?.rollback_progress.pinned, 1);
            fixture.report_version(pinned, "1.1.0", later(21)).await?;
            assert_eq!(pending().await?, 0, "the same version");
            fixture.report_version(pinned, "1.0.0", later(22)).await?;
            assert_eq!(pending().await?, 0, "the old version");
            fixture.report_version(pinned, "1.1.0", later(23)).await?;
            assert_eq!(pending().await?, 1);
        }
        for device in [late, installed] {
            assert_eq!(fixture.latest_update(device).await?.update.firmware, fixture.old);
        }
        let campaign = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((campaign.cancelled, campaign.total()), (4, 4));
    }

    async fn a_pinned_device_is_counted_once_although_its_success_is_late(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[1], SuccessCriteria::Attested).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        store.expire_updates(NOON.plus(TIMEOUT).plus(TIMEOUT), 10).await?;
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(8000)) };
        store.change_device(store.ours, "d-0", pin).await?;
        let fence = fixture.start_rollback().await?;
        for reported in [false, true] {
            if reported {
                fixture.report_version(key, "1.1.0", later(8100)).await?;
                assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
            }
            assert_eq!(roll_back(&fixture, fence, RollbackScope::Everything).await?.processed, 1);
            assert_eq!(fixture.read_run().await?.rollback_progress.pinned, 1);
        }
    }

    async fn a_rollback_processes_a_late_success(store) {
        let fixture = timed_out(store, 1, 0).await?;
        let fence = fixture.start_rollback().await?;
        let everything = RollbackScope::Everything;
        let processed = roll_back(&fixture, fence, everything).await?;
        assert_eq!((processed.processed, processed.affected.len()), (1, 0), "it had not installed anything");
        report(&fixture, fixture.devices[0], Finished::Success).await??;
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_pending, 1);
        let processed = roll_back(&fixture, fence, everything).await?;
        assert_eq!((processed.processed, processed.affected.len()), (1, 1));
    }

    async fn a_device_that_reports_the_new_version_after_the_timeout_has_succeeded(store) {
        let fixture = timed_out(store, 2, 0).await?;
        let [late, old] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        fixture.report_version(late, "1.1.0", later(3700)).await?;
        fixture.report_version(old, "1.0.0", later(3700)).await?;
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.completed, counts.timed_out), (1, 1));
        let succeeded = device(store, 0).await?;
        assert_eq!((succeeded.state, succeeded.drift), (DeviceState::InSync, None));
        assert_eq!(succeeded.installed_firmware, Some(fixture.new));
        let update = fixture.latest_update(late).await?.update;
        assert_eq!((update.state.status, update.state.error), (UpdateStatus::Completed, None));
        assert_eq!(fixture.status_of(old).await?, UpdateStatus::TimedOut);
        fixture.report_version(late, "1.0.0", later(3800)).await?;
        assert!(device(store, 0).await?.drift.is_some(), "it fell back");
        assert_eq!(fixture.read_run().await?.waves[0].report.counts, counts);
    }

    async fn the_new_version_withdraws_the_retry_that_was_not_offered(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        fixture.report_version(key, "1.1.0", later(3620)).await?;
        assert_eq!(fixture.updates_of(key).await?.total, 1);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.completed, counts.total()), (1, 1));
        assert_eq!(device(store, 0).await?.drift, None);
    }

    async fn a_device_that_reports_the_firmware_as_installed_after_the_timeout_has_succeeded(store) {
        let fixture = timed_out(store, 1, 0).await?;
        let firmware = ReportedFirmware { name: "edge".into(), version: "1.1.0".into() };
        let report = DeviceReport {
            tenant: store.ours,
            device: fixture.devices[0],
            by: None,
            read_at: None,
            at: later(3700),
            event: DeviceEvent::Installed(firmware),
        };
        store.report(report).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }

    async fn a_device_that_runs_the_new_version_after_its_failure_has_succeeded(store) {
        let fixture = failed(store, 2, 0).await?;
        let [runs_it, failed] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.failed, 2);
        let recorded = fixture.report_version(runs_it, "1.1.0", later(60)).await?;
        assert_eq!((recorded.changes_update, recorded.campaigns), (true, vec![fixture.campaign()]));
        fixture.report_version(failed, "1.0.0", later(60)).await?;
        let run = fixture.read_run().await?;
        let wave = &run.waves[0].report;
        assert_eq!((wave.counts.completed, wave.counts.failed), (1, 1));
        assert_eq!((wave.failures.len(), wave.failures[0].devices), (1, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 2));
        assert_eq!(run.durations.count, 2);
        let update = fixture.latest_update(runs_it).await?.update;
        assert_eq!((update.state.status, update.state.error), (UpdateStatus::Completed, None));
        let earlier = update.state.earlier_error.context("the failure is kept")?;
        assert_eq!((&*earlier.code, &*earlier.message), ("FAILED", "no space left"));
        let history = store.history(store.ours, update.id, 10).await?;
        assert_eq!(history[0].feedback.messages, ["no space left"]);
        let succeeded = device(store, 0).await?;
        assert_eq!((succeeded.state, succeeded.drift), (DeviceState::InSync, None));
        assert_eq!(succeeded.installed_firmware, Some(fixture.new));
        assert_eq!(device(store, 1).await?.state, DeviceState::Error);

        let again = fixture.report_version(runs_it, "1.1.0", later(70)).await?;
        assert!(!again.changes_update, "a repetition");
        fixture.report_version(runs_it, "1.0.0", later(80)).await?;
        assert!(device(store, 0).await?.drift.is_some(), "it fell back");
        assert_eq!(fixture.status_of(runs_it).await?, UpdateStatus::Completed);
    }

    async fn a_success_that_is_reported_after_a_failure_is_refused(store) {
        let fixture = failed(store, 1, 0).await?;
        let refused = report(&fixture, fixture.devices[0], Finished::Success).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.failed, 1);
    }

    async fn the_new_version_withdraws_the_retry_of_a_failure(store) {
        let fixture = failed(store, 1, 2).await?;
        let key = fixture.devices[0];
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Scheduled);
        fixture.report_version(key, "1.1.0", later(20)).await?;
        let updates = fixture.updates_of(key).await?.items;
        let statuses: Vec<_> = updates.iter().map(|row| (row.update.state.status, row.update.attempt.is_retried)).collect();
        assert_eq!(statuses, [(UpdateStatus::Completed, false)]);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.completed, counts.failed, counts.total()), (1, 0, 1));
        assert!(store.expire_updates(later(100_000), 10).await?.is_empty());
    }

    async fn the_new_version_after_a_later_try_completes_no_earlier_one(store) {
        let fixture = failed(store, 1, 2).await?;
        let key = fixture.devices[0];
        assert_eq!(store.expire_updates(later(100), 10).await?.len(), 1);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Offered);
        assert!(!fixture.report_version(key, "1.1.0", later(110)).await?.changes_update);
        let updates = fixture.updates_of(key).await?.items;
        let statuses: Vec<_> = updates.iter().map(|row| row.update.state.status).collect();
        assert_eq!(statuses, [UpdateStatus::Offered, UpdateStatus::Failed]);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.offered, 1);
    }

    async fn a_device_that_reports_the_firmware_as_installed_after_a_failure_has_succeeded(store) {
        let fixture = failed(store, 1, 0).await?;
        let firmware = ReportedFirmware { name: "edge".into(), version: "1.1.0".into() };
        let report = DeviceReport {
            tenant: store.ours,
            device: fixture.devices[0],
            by: None,
            read_at: None,
            at: later(60),
            event: DeviceEvent::Installed(firmware),
        };
        store.report(report).await?;
        assert_eq!(fixture.updates_of(fixture.devices[0]).await?.total, 1);
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }

    async fn a_rollback_processes_a_failed_device_that_runs_the_new_version(store) {
        let fixture = failed(store, 1, 0).await?;
        let fence = fixture.start_rollback().await?;
        let offer = fixture.offer(later(50));
        let roll_back = async || store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &offer).await;
        let processed = roll_back().await?;
        assert_eq!((processed.processed, processed.affected.len()), (1, 0), "it had not installed anything");
        fixture.report_version(fixture.devices[0], "1.1.0", later(60)).await?;
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_pending, 1);
        let processed = roll_back().await?;
        assert_eq!((processed.processed, processed.affected.len()), (1, 1));
    }

    async fn a_version_that_was_reported_before_the_timeout_counts(store) {
        let fixture = offered(store, 3, 0).await?;
        let [runs_it, reverted, old] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        for device in [runs_it, reverted] {
            fixture.report_version(device, "1.1.0", later(60)).await?;
        }
        fixture.report_version(reverted, "1.0.0", later(70)).await?;
        fixture.report_version(old, "1.0.0", later(70)).await?;
        assert_eq!(fixture.status_of(runs_it).await?, UpdateStatus::Offered, "it may report a failure");
        let ended = store.expire_updates(NOON.plus(TIMEOUT), 100).await?;
        assert_eq!(ended.len(), 3);
        let run = fixture.read_run().await?;
        let wave = &run.waves[0].report;
        assert_eq!((wave.counts.completed, wave.counts.timed_out, wave.counts.total()), (1, 2, 3));
        assert_eq!((wave.failures.len(), wave.failures[0].devices), (1, 2));
        let update = fixture.latest_update(runs_it).await?.update;
        assert_eq!((update.state.status, update.state.error), (UpdateStatus::Completed, None));
        assert_eq!(update.state.earlier_error.context("why it ended")?.code, "TIMEOUT");
        let succeeded = device(store, 0).await?;
        assert_eq!((succeeded.state, succeeded.drift), (DeviceState::InSync, None));
        assert_eq!(succeeded.installed_firmware, Some(fixture.new));
        for device in [reverted, old] {
            assert_eq!(fixture.status_of(device).await?, UpdateStatus::TimedOut);
        }
        fixture.report_version(runs_it, "1.0.0", later(3800)).await?;
        assert!(device(store, 0).await?.drift.is_some(), "it fell back");
    }

    async fn a_version_that_was_reported_before_the_failure_is_asked_for_again(store) {
        let fixture = offered(store, 3, 0).await?;
        let [runs_it, reverted, old] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        for device in [runs_it, reverted] {
            fixture.report_version(device, "1.1.0", later(50)).await?;
        }
        fixture.report_version(old, "1.0.0", later(50)).await?;
        for (index, device) in fixture.devices.clone().into_iter().enumerate() {
            fixture.report_failure(device, "no space left", later(60)).await?;
            let view = store.poll_view(store.ours, &format!("d-{index}")).await?.context("a device")?;
            assert_eq!(view.wants_attributes, device != old, "{index}");
        }
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.failed, 3);
        fixture.report_version(runs_it, "1.1.0", later(70)).await?;
        fixture.report_version(reverted, "1.0.0", later(70)).await?;
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.completed, counts.failed), (1, 2));
        assert_eq!(fixture.status_of(reverted).await?, UpdateStatus::Failed);
        let view = store.poll_view(store.ours, "d-1").await?.context("a device")?;
        assert!(!view.wants_attributes, "it is asked once");
    }

    async fn a_version_that_was_reported_during_a_retry_counts_at_its_end(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        assert_eq!(store.expire_updates(later(3680), 10).await?.len(), 1);
        fixture.report_version(key, "1.1.0", later(3700)).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Offered);
        assert_eq!(store.expire_updates(later(3680).plus(TIMEOUT), 10).await?.len(), 1);
        let updates = fixture.updates_of(key).await?.items;
        let statuses: Vec<_> = updates.iter().map(|row| (row.update.state.status, row.update.attempt.is_retried)).collect();
        assert_eq!(statuses, [(UpdateStatus::Completed, false), (UpdateStatus::TimedOut, true)]);
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.completed, counts.timed_out, counts.total()), (1, 0, 1));
        assert_eq!(device(store, 0).await?.state, DeviceState::InSync);
    }

    async fn a_version_that_was_reported_before_an_unanswered_cancellation_counts(store) {
        let fixture = offered(store, 1, 0).await?;
        let key = fixture.devices[0];
        fixture.report_version(key, "1.1.0", later(5)).await?;
        fixture.record_event(key, UpdateEvent::CancelRequested, later(10)).await??;
        store.expire_updates(later(10).plus(TIMEOUT), 10).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_pending, 1);
    }

    async fn a_version_that_was_reported_before_the_timeout_soaks_once(store) {
        let criteria = SuccessCriteria::Soaked(Duration::from_mins(1));
        let fixture = StoreFixture::with_success_criteria(store, &[1], criteria).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_version(key, "1.1.0", later(60)).await?;
        store.expire_updates(NOON.plus(TIMEOUT), 10).await?;
        let state = fixture.latest_update(key).await?.update.state;
        assert_eq!(state.status, UpdateStatus::Verifying);
        let soaked = state.soaks_until.context("it soaks")?;
        store.expire_updates(soaked, 10).await?;
        store.expire_updates(soaked.plus(TIMEOUT), 10).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::TimedOut);
    }
}
