use tidegate_core::{
    feedback::{Execution, Finished},
    id::DeviceKey,
    update::{Event, Proof},
};
use tidegate_engine::ports::{Firmwares as _, InstalledReport, Made, SingleUpdates as _, Told};

use super::*;

impl Scene<'_> {
    async fn told(&self, device: DeviceKey, version: &str, at: i64) -> Result<Told, RecordError> {
        let report = InstalledReport {
            tenant: self.tenant,
            device,
            name: "edge".into(),
            version: version.into(),
            at: later(at),
        };
        self.store().record_installed(report).await
    }
}

on_both! {
    async fn what_a_device_has_is_an_update_that_is_over(store) {
        let scene = Scene::set(store, &[2]).await?;
        let key = scene.devices[0];
        let told = scene.told(key, "1.1.0", 1).await?;
        assert!(told.is_new && !told.recorded.moved);
        let view = store.poll_view(store.ours, "d-0").await?.context("a view")?;
        assert_eq!(told.recorded.view, view);
        let row = store.update(store.ours, view.installed.context("an update")?).await?;
        let update = row.context("it is there")?.update;
        assert_eq!((update.firmware, update.campaign), (scene.new, None));
        assert_eq!(update.progress.status, UpdateStatus::Completed);
        assert_eq!((update.from_version.as_deref(), &*update.to_version), (Some("1.0.0"), "1.1.0"));
        let shown = device(store, 0).await?;
        assert_eq!((shown.state, shown.installed_firmware), (DeviceState::InSync, Some(scene.new)));
        assert_eq!(shown.sw_version.as_deref(), Some("1.1.0"));

        let again = scene.told(key, "1.1.0", 2).await?;
        assert!(!again.is_new);
        assert_eq!(again.recorded.view, view, "nothing is made twice");

        // Nobody offers it what it has.
        let made = store.create_update(scene.tenant, key, &scene.offer(later(3))).await?;
        assert_eq!(made, Made::AlreadyInstalled);
        scene.release(&[2]).await?;
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(scene.status_of(scene.devices[1]).await?, UpdateStatus::Offered);
    }

    async fn what_is_not_there_is_not_installed(store) {
        let scene = Scene::set(store, &[1]).await?;
        let key = scene.devices[0];
        let gone = store.create_firmware(scene.tenant, crate::scene::firmware("9.9.9")).await?;
        assert!(store.delete_firmware(scene.tenant, gone, NOON).await?);
        for (device, version) in [(key, "9.9.9"), (key, "v1.1.0"), (DeviceKey(987_654), "1.1.0")] {
            let refused = scene.told(device, version, 1).await;
            assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        }
        let report = InstalledReport {
            tenant: store.theirs,
            device: key,
            name: "edge".into(),
            version: "1.1.0".into(),
            at: later(1),
        };
        let refused = store.record_installed(report).await;
        assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        assert_eq!(device(store, 0).await?.installed_firmware, None);
    }

    async fn the_firmware_for_the_devices_own_model_goes_first(store) {
        let scene = Scene::set(store, &[1]).await?;
        let mut ids = Vec::new();
        for model in [Some("a"), None, Some("b")] {
            let mut firmware = crate::scene::firmware("7.0.0");
            firmware.details.device_model = model.map(str::to_owned);
            ids.push(store.create_firmware(scene.tenant, firmware).await?);
        }
        let key = scene.devices[0];
        for (model, own) in [("a", ids[0]), ("b", ids[2]), ("c", ids[1])] {
            scene.reports(key, "hw_model", model, later(2)).await?;
            assert!(scene.told(key, "7.0.0", 3).await?.is_new);
            assert_eq!(device(store, 0).await?.installed_firmware, Some(own), "{model}");
        }

        let mut firmware = crate::scene::firmware("8.0.0");
        firmware.details.device_model = Some("b".to_owned());
        store.create_firmware(scene.tenant, firmware).await?;
        scene.reports(key, "hw_model", "a", later(4)).await?;
        let refused = scene.told(key, "8.0.0", 4).await;
        assert!(refused.is_err(), "another model's firmware is not its own: {refused:?}");
        assert_eq!(device(store, 0).await?.installed_firmware, Some(ids[1]));
    }

    async fn who_has_not_said_what_it_is_has_none_that_is_one_of_several(store) {
        let scene = Scene::with_proof(store, &[2], Proof::Attested).await?;
        let for_model = async |model: &str| {
            let mut firmware = crate::scene::firmware("1.1.0");
            firmware.details.device_model = Some(model.to_owned());
            store.create_firmware(scene.tenant, firmware).await
        };
        let [told, brought] = scene.devices[..] else {
            anyhow::bail!("two devices");
        };
        // Of one there is no doubt.
        assert!(scene.told(told, "1.1.0", 1).await?.is_new);
        scene.release(&[2]).await?;
        scene.succeeds(brought, later(1)).await?;
        let for_a = for_model("a").await?;
        // Neither is there of the one that the server brought, or that it had told before.
        assert!(!scene.told(told, "1.1.0", 2).await?.is_new);
        assert!(scene.told(brought, "1.1.0", 2).await?.recorded.moved);

        // Of several it has one as soon as it says what it is, be it the one for any.
        let silent = store.register(scene.tenant, "d-2", later(3)).await?.device;
        let refused = scene.told(silent, "1.1.0", 3).await;
        assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        assert_eq!(device(store, 2).await?.installed_firmware, None);
        scene.reports(silent, "hw_model", "a", later(4)).await?;
        assert!(scene.told(silent, "1.1.0", 4).await?.is_new);
        assert_eq!(device(store, 2).await?.installed_firmware, Some(for_a));
    }

    async fn who_says_that_it_is_where_it_should_be_has_not_drifted(store) {
        let scene = Scene::set(store, &[1]).await?;
        let key = scene.devices[0];
        scene.told(key, "1.1.0", 1).await?;
        scene.reports_version(key, "0.9.0", later(2)).await?;
        let drift = device(store, 0).await?.drift.context("it is elsewhere")?;
        assert_eq!((&*drift.expected, drift.since), ("1.1.0", later(2)));
        assert!(!scene.told(key, "1.1.0", 3).await?.is_new);
        let shown = device(store, 0).await?;
        assert_eq!((shown.drift, shown.sw_version.as_deref()), (None, Some("1.1.0")));
    }

    async fn an_open_update_goes_on(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        for version in ["1.1.0", "1.0.0"] {
            let told = scene.told(key, version, 1).await?;
            assert!(!told.is_new && !told.recorded.moved);
        }
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Offered);
        assert_eq!(device(store, 0).await?.installed_firmware, None);
    }

    async fn what_it_has_is_proof_of_what_it_was_brought(store) {
        let scene = Scene::with_proof(store, &[1], Proof::Attested).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        scene.happens(key, done, later(1)).await??;
        assert!(!scene.told(key, "1.0.0", 2).await?.recorded.moved);
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Verifying);
        let told = scene.told(key, "1.1.0", 3).await?;
        assert!(told.recorded.moved && !told.is_new);
        assert_eq!(told.recorded.campaigns, [scene.campaign()]);
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(scene.look().await?.waves[0].report.counts.completed, 1);
    }
}
