use tidegate_captured_log::record_statements;
use tidegate_core::{
    device::{AttributeMode, AttributeNames, AutoConfirm},
    feedback::{Execution, Finished},
    update::UpdateEvent,
};
use tidegate_engine::ports::{
    DeviceReport, Devices as _, ReportedAttributes, ReportedFirmware, Updates as _,
};

use super::*;
use crate::{batcher::Batch as _, database::LockWait, dialect::Dialect, updates::ReportBatch};

fn event(execution: Execution, finished: Finished, message: &str) -> UpdateEvent {
    UpdateEvent::Feedback(feedback(execution, finished, message))
}

/// Statements that are sent to the database for a batch of feedbacks of one tenant, without those that begin and end its
/// transaction and the notification of other servers on PostgreSQL. On SQLite all that write are sent as one.
fn statements(dialect: Dialect) -> usize {
    match dialect {
        Dialect::Sqlite => 5,
        Dialect::Postgres => 11,
    }
}

on_both! {
    async fn a_batch_takes_as_many_statements_for_many_feedbacks_as_for_one(store) {
        let fixture = StoreFixture::new(store, &[60]).await?;
        fixture.release(&[60]).await?;
        let batch = ReportBatch { database: store.database.clone(), max_feedback_per_update: 1000 };
        let mut devices = fixture.devices.iter().copied();
        // The first device with a version makes the version's counter.
        fixture.report_success(devices.next().context("a device")?, later(1)).await?;
        let expected = statements(store.database.dialect());
        for feedbacks in [1, 2, 50] {
            let mut updates = Vec::new();
            for device in devices.by_ref().take(feedbacks) {
                updates.push((device, fixture.latest_update(device).await?.update.id));
            }
            let mut most = 0;
            for (execution, finished) in [
                (Execution::Download, Finished::None),
                (Execution::Proceeding, Finished::None),
                (Execution::Closed, Finished::Success),
            ] {
                let reports: Vec<_> = updates.iter().map(|&(device, update)| DeviceReport {
                    tenant: store.ours,
                    device,
                    by: None,
                    read_at: None,
                    at: later(2),
                    event: DeviceEvent::Update(update, event(execution, finished, "a message")),
                }).collect();
                let executing = batch.execute(&reports, LockWait::Normal);
                let (results, mut statements) = record_statements(executing).await;
                assert!(results?.iter().all(Result::is_ok));
                statements.retain(|statement| !statement.contains("pg_notify"));
                most = most.max(statements.len());
                assert!(statements.len() <= expected, "{feedbacks} {execution:?}: {statements:#?}");
            }
            assert_eq!(most, expected, "{feedbacks}");
        }
    }

    async fn a_batch_is_recorded_in_order_and_a_bad_report_spoils_no_other(store) {
        let fixture = StoreFixture::new(store, &[8]).await?;
        fixture.release(&[8]).await?;
        let mut reports = Vec::new();
        for key in &fixture.devices {
            let update = fixture.latest_update(*key).await?.update.id;
            for event in [
                UpdateEvent::Retrieved,
                event(Execution::Proceeding, Finished::None, "half way"),
                event(Execution::Proceeding, Finished::None, "half way"),
                event(Execution::Closed, Finished::Success, "done"),
                event(Execution::Proceeding, Finished::None, "after the end"),
            ] {
                reports.push(fixture.report(*key, update, event, later(5)));
            }
            reports.push(fixture.report(DeviceKey(key.0 + 1000), update, UpdateEvent::Retrieved, later(5)));
        }
        let results = futures::future::join_all(reports).await;
        for results in results.chunks(6) {
            let changes_update: Vec<_> = results.iter().map(|result| result.as_ref().ok().map(|r| r.changes_update)).collect();
            let expected = [Some(true), Some(true), Some(false), Some(true), None, None];
            assert_eq!(changes_update, expected);
            assert!(matches!(results[4], Err(RecordError::Refused(_))));
            assert!(matches!(results[5], Err(RecordError::NotFound)));
        }
        let run = fixture.read_run().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.completed, report.counts.in_flight()), (8, 0));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 8));
        assert_eq!(run.durations.count, 8);
        assert_eq!(report.last_progress_at, Some(later(5)));
    }

    async fn reports_of_two_tenants_share_a_batch_and_nothing_else(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let theirs = store.register(store.theirs, "d-0", NOON).await?.device;
        let ours = fixture.devices[0];
        let update = fixture.latest_update(ours).await?.update.id;
        let attributes = ReportedAttributes {
            mode: AttributeMode::Merge,
            data: [("sw_version".to_owned(), Some("7".to_owned()))].into(),
            names: AttributeNames::default(),
        };
        let attributes = DeviceReport {
            tenant: store.theirs,
            device: theirs,
            by: None,
            read_at: None,
            at: NOON,
            event: DeviceEvent::Attributes(attributes),
        };
        let (first, second) = futures::join!(
            fixture.report(ours, update, UpdateEvent::Retrieved, later(1)),
            store.report(attributes),
        );
        assert_eq!((first?.view.device, second?.view.device), (ours, theirs));
        let theirs = store.device(store.theirs, "d-0").await?.context("their device")?;
        assert_eq!(theirs.sw_version.as_deref(), Some("7"));
        assert_eq!(device(store, 0).await?.sw_version.as_deref(), Some("1.0.0"));
    }

    async fn updates_that_are_read_at_once_are_those_of_each_tenant(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[2]).await?;
        let first = fixture.latest_update(fixture.devices[0]).await?.update.id;
        let second = fixture.latest_update(fixture.devices[1]).await?.update.id;
        let reads = [(store.ours, first), (store.theirs, first), (store.ours, second), (store.ours, first)];
        let reads = reads.map(|(tenant, id)| store.update(tenant, id));
        let rows = futures::future::try_join_all(reads).await?;
        let devices: Vec<_> = rows.iter().map(|row| row.as_ref().map(|row| row.update.device)).collect();
        let [a, b] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        assert_eq!(devices, [Some(a), None, Some(b), Some(a)]);
    }

    async fn events_of_all_kinds_are_recorded_in_one_batch(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let [busy, installed, unknown] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        fixture.release(&[1]).await?;
        let update = fixture.latest_update(busy).await?.update.id;
        let auto_confirm = AutoConfirm { initiator: None, remark: None, activated_at: later(1) };
        let report = |device, event| DeviceReport {
            tenant: store.ours,
            device,
            by: None,
            read_at: None,
            at: later(1),
            event,
        };
        let firmware = |version: &str| DeviceEvent::Installed(ReportedFirmware {
            name: "edge".into(),
            version: version.into(),
        });
        let activation = || DeviceEvent::AutoConfirmActivated { initiator: None, remark: None };
        let batch = ReportBatch { database: store.database.clone(), max_feedback_per_update: 1000 };
        let results = batch.execute(&[
            report(busy, activation()),
            report(busy, DeviceEvent::Update(update, UpdateEvent::Retrieved)),
            report(busy, activation()),
            report(unknown, firmware("7.7.7")),
            report(installed, firmware("1.1.0")),
            report(installed, firmware("1.1.0")),
            report(installed, activation()),
            report(installed, DeviceEvent::AutoConfirmDeactivated),
            report(DeviceKey(unknown.0 + 1000), DeviceEvent::AutoConfirmDeactivated),
        ], LockWait::Normal).await?;
        let results: Vec<_> = results
            .iter()
            .map(|result| result.as_ref().map(|recorded| (recorded.changes_update, recorded.is_new_installation)))
            .collect();
        assert!(matches!(
            results[..],
            [
                Ok((false, false)),
                Ok((true, false)),
                Err(RecordError::AlreadyActive),
                Err(RecordError::NotFound),
                Ok((false, true)),
                Ok((false, false)),
                Ok((false, false)),
                Ok((false, false)),
                Err(RecordError::NotFound),
            ]
        ), "{results:?}");
        assert_eq!(store.auto_confirm(store.ours, busy).await?, Some(auto_confirm));
        assert_eq!(store.auto_confirm(store.ours, installed).await?, None);
        assert_eq!(fixture.status_of(busy).await?, UpdateStatus::Downloading);
        assert_eq!(device(store, 1).await?.installed_firmware, Some(fixture.new));
        assert_eq!(device(store, 2).await?.installed_firmware, None);
    }
}
