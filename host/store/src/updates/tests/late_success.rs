use std::time::Duration;

use tidegate_core::{
    feedback::{Execution, Finished},
    plugin::RollbackScope,
    update::{EventError, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::ports::{
    DeviceReport, RecordedReport, ReportedFirmware, Runs as _, Updates as _,
};

use super::*;
use crate::test_fixture::TIMEOUT;

/// A campaign whose updates have timed out, with this many retries.
async fn timed_out(
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
    let ended = store.expire_updates(NOON.plus(TIMEOUT), 100).await?;
    assert_eq!(ended.len(), devices);
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

    async fn a_success_after_the_retry_was_cancelled_is_refused(store) {
        let fixture = timed_out(store, 1, 2).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, UpdateEvent::CancelRequested, later(3610)).await??;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled);
        let refused = report(&fixture, key, Finished::Success).await?;
        assert!(matches!(refused, Err(RecordError::Refused(EventError::Closed))), "{refused:?}");
        fixture.report_version(key, "1.1.0", later(3710)).await?;
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.cancelled, 1);
    }

    async fn a_rollback_processes_a_late_success(store) {
        let fixture = timed_out(store, 1, 0).await?;
        let fence = fixture.start_rollback().await?;
        let offer = fixture.offer(later(3650));
        let roll_back = async || store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &offer).await;
        let processed = roll_back().await?;
        assert_eq!((processed.processed, processed.affected.len()), (1, 0), "it had not installed anything");
        report(&fixture, fixture.devices[0], Finished::Success).await??;
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_pending, 1);
        let processed = roll_back().await?;
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
            at: later(3700),
            event: DeviceEvent::Installed(firmware),
        };
        store.report(report).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }
}
