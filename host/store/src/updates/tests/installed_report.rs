use tidegate_core::{
    feedback::{Execution, Finished},
    id::DeviceKey,
    update::{SuccessCriteria, UpdateEvent},
};
use tidegate_engine::ports::{
    DeviceReport, Offer, OfferResult, PageRequest, RecordedReport, ReportedFirmware,
    SingleUpdates as _, Statistics as _, UpdateFilter, Updates as _,
};

use super::*;

fn installed(version: &str) -> DeviceEvent {
    DeviceEvent::Installed(ReportedFirmware {
        name: "edge".into(),
        version: version.into(),
    })
}

impl StoreFixture<'_> {
    async fn report_installed(
        &self,
        device: DeviceKey,
        version: &str,
        at: i64,
    ) -> Result<RecordedReport, RecordError> {
        let report = DeviceReport {
            tenant: self.tenant,
            device,
            by: None,
            read_at: None,
            at: later(at),
            event: installed(version),
        };
        self.store().report(report).await
    }
}

on_both! {
    async fn an_installed_firmware_is_recorded_as_a_completed_update(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let key = fixture.devices[0];
        let recorded = fixture.report_installed(key, "1.1.0", 1).await?;
        assert!(recorded.is_new_installation && !recorded.changes_update);
        let view = store.poll_view(store.ours, "d-0").await?.context("a view")?;
        assert_eq!(recorded.view, view);
        let row = store.update(store.ours, view.installed.context("an update")?).await?;
        let update = row.context("it exists")?.update;
        assert_eq!((update.firmware, update.campaign), (fixture.new, None));
        assert_eq!(update.state.status, UpdateStatus::Completed);
        assert_eq!((update.from_version.as_deref(), &*update.to_version), (Some("1.0.0"), "1.1.0"));
        let shown = device(store, 0).await?;
        assert_eq!((shown.state, shown.installed_firmware), (DeviceState::InSync, Some(fixture.new)));
        assert_eq!(shown.sw_version.as_deref(), Some("1.1.0"));

        let again = fixture.report_installed(key, "1.1.0", 2).await?;
        assert!(!again.is_new_installation);
        assert_eq!(again.view, view, "no second update");

        // An installed firmware is not offered.
        let made = store.create_update(fixture.tenant, key, &fixture.offer(later(3))).await?;
        assert_eq!(made, OfferResult::AlreadyInstalled);
        fixture.release(&[2]).await?;
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(fixture.status_of(fixture.devices[1]).await?, UpdateStatus::Offered);
    }

    async fn the_newest_hundred_installations_of_a_device_are_kept(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let [key, other] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        let third = store.create_firmware(fixture.tenant, crate::test_fixture::firmware("1.2.0")).await?;
        assert!(fixture.report_installed(other, "1.2.0", 1).await?.is_new_installation);
        for n in 0..105 {
            let version = if n % 2 == 0 { "1.2.0" } else { "1.1.0" };
            assert!(fixture.report_installed(key, version, n).await?.is_new_installation);
        }
        let updates_of = async |device| {
            let filter = UpdateFilter { device: Some(device), ..UpdateFilter::default() };
            store.list_updates(fixture.tenant, &filter, PageRequest { limit: 1, offset: 0 }).await
        };
        let kept = updates_of(key).await?;
        assert_eq!(kept.total, 100);
        assert_eq!(kept.items[0].update.firmware, third);
        assert_eq!(device(store, 0).await?.installed_firmware, Some(third));
        assert_eq!(updates_of(other).await?.total, 1);
        let stats = store.stats(fixture.tenant, NOON, None).await?;
        assert_eq!(stats.updates_by_status, [("completed".to_owned(), 101)]);
        // The device is not offered it again, as before.
        let again = store.create_update(fixture.tenant, key, &Offer { firmware: third, ..fixture.offer(NOON) }).await?;
        assert_eq!(again, OfferResult::AlreadyInstalled);
    }

    async fn an_unknown_firmware_is_not_recorded_as_installed(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let key = fixture.devices[0];
        let gone = store.create_firmware(fixture.tenant, crate::test_fixture::firmware("9.9.9")).await?;
        assert!(store.delete_firmware(fixture.tenant, gone, NOON).await?);
        for (device, version) in [(key, "9.9.9"), (key, "v1.1.0"), (DeviceKey(987_654), "1.1.0")] {
            let refused = fixture.report_installed(device, version, 1).await;
            assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        }
        let report = DeviceReport {
            tenant: store.theirs,
            device: key,
            by: None,
            read_at: None,
            at: later(1),
            event: installed("1.1.0"),
        };
        let refused = store.report(report).await;
        assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        assert_eq!(device(store, 0).await?.installed_firmware, None);
    }

    async fn the_firmware_for_the_devices_model_is_preferred(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let mut ids = Vec::new();
        for model in [Some("a"), None, Some("b")] {
            let mut firmware = crate::test_fixture::firmware("7.0.0");
            firmware.details.device_model = model.map(str::to_owned);
            ids.push(store.create_firmware(fixture.tenant, firmware).await?);
        }
        let key = fixture.devices[0];
        for (model, own) in [("a", ids[0]), ("b", ids[2]), ("c", ids[1])] {
            fixture.report_attribute(key, "hw_model", model, later(2)).await?;
            assert!(fixture.report_installed(key, "7.0.0", 3).await?.is_new_installation);
            assert_eq!(device(store, 0).await?.installed_firmware, Some(own), "{model}");
        }

        let mut firmware = crate::test_fixture::firmware("8.0.0");
        firmware.details.device_model = Some("b".to_owned());
        store.create_firmware(fixture.tenant, firmware).await?;
        fixture.report_attribute(key, "hw_model", "a", later(4)).await?;
        let refused = fixture.report_installed(key, "8.0.0", 4).await;
        assert!(refused.is_err(), "firmware of another model: {refused:?}");
        assert_eq!(device(store, 0).await?.installed_firmware, Some(ids[1]));
    }

    async fn a_device_without_a_model_gets_no_ambiguous_firmware(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[2], SuccessCriteria::Attested).await?;
        let for_model = async |model: &str| {
            let mut firmware = crate::test_fixture::firmware("1.1.0");
            firmware.details.device_model = Some(model.to_owned());
            store.create_firmware(fixture.tenant, firmware).await
        };
        let [reported, updated] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        // A single candidate is unambiguous.
        assert!(fixture.report_installed(reported, "1.1.0", 1).await?.is_new_installation);
        fixture.release(&[2]).await?;
        fixture.report_success(updated, later(1)).await?;
        let for_a = for_model("a").await?;
        // So is one that the server offered, or that was reported before.
        assert!(!fixture.report_installed(reported, "1.1.0", 2).await?.is_new_installation);
        assert!(fixture.report_installed(updated, "1.1.0", 2).await?.changes_update);

        // Once it reports its model, it gets one of several candidates, or the one for any model.
        let silent = store.register(fixture.tenant, "d-2", later(3)).await?.device;
        let refused = fixture.report_installed(silent, "1.1.0", 3).await;
        assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        assert_eq!(device(store, 2).await?.installed_firmware, None);
        fixture.report_attribute(silent, "hw_model", "a", later(4)).await?;
        assert!(fixture.report_installed(silent, "1.1.0", 4).await?.is_new_installation);
        assert_eq!(device(store, 2).await?.installed_firmware, Some(for_a));
    }

    async fn an_installed_report_of_the_expected_version_ends_the_drift(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let key = fixture.devices[0];
        fixture.report_installed(key, "1.1.0", 1).await?;
        fixture.report_version(key, "0.9.0", later(2)).await?;
        let drift = device(store, 0).await?.drift.context("it has drifted")?;
        assert_eq!((&*drift.expected, drift.since), ("1.1.0", later(2)));
        assert!(!fixture.report_installed(key, "1.1.0", 3).await?.is_new_installation);
        let shown = device(store, 0).await?;
        assert_eq!((shown.drift, shown.sw_version.as_deref()), (None, Some("1.1.0")));
    }

    async fn an_open_update_continues(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        for version in ["1.1.0", "1.0.0"] {
            let recorded = fixture.report_installed(key, version, 1).await?;
            assert!(!recorded.is_new_installation && !recorded.changes_update);
        }
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Offered);
        assert_eq!(device(store, 0).await?.installed_firmware, None);
    }

    async fn an_installed_report_meets_the_success_criteria(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[1], SuccessCriteria::Attested).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.record_event(key, done, later(1)).await??;
        assert!(!fixture.report_installed(key, "1.0.0", 2).await?.changes_update);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Verifying);
        let recorded = fixture.report_installed(key, "1.1.0", 3).await?;
        assert!(recorded.changes_update && !recorded.is_new_installation);
        assert_eq!(recorded.campaigns, [fixture.campaign()]);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }
}
