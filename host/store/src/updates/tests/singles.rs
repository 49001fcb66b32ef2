use tidegate_core::{
    feedback::{Execution, Finished},
    id::{DeviceKey, FirmwareId},
    update::Event,
};
use tidegate_engine::ports::{Firmwares as _, Made, SingleUpdates as _, StoreError};

use super::*;

on_both! {
    async fn an_update_without_a_campaign_goes_the_same_way(store) {
        let scene = Scene::set(store, &[2]).await?;
        let key = scene.devices[0];
        let offer = scene.offer(NOON);
        let Made::Update(id, touched) = store.create_update(scene.tenant, key, &offer).await? else {
            anyhow::bail!("nothing stands against it");
        };
        assert_eq!((touched.device_id.as_str(), touched.campaign), ("d-0", None));
        assert_eq!(device(store, 0).await?.state, DeviceState::Pending);
        let view = store.poll_view(store.ours, "d-0").await?.context("a view")?;
        assert_eq!(view.open.map(|open| open.id), Some(id));

        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        let recorded = scene.report(key, id, done, later(1)).await?;
        assert_eq!((recorded.moved, recorded.campaigns), (true, vec![]));
        let row = store.update(store.ours, id).await?.context("the update")?;
        assert_eq!(row.update.campaign, None);
        assert_eq!(row.update.progress.status, UpdateStatus::Completed);
        assert_eq!(row.update.from_version.as_deref(), Some("1.0.0"));
        assert_eq!(device(store, 0).await?.installed_firmware, Some(scene.new));
        assert_eq!(scene.look().await?.waves[0].report.counts.completed, 0, "no campaign has to do with it");
    }

    async fn no_device_gets_the_same_firmware_twice(store) {
        let scene = Scene::set(store, &[3]).await?;
        let offer = scene.offer(NOON);
        let nobody = DeviceKey(987_654);
        let keys = [scene.devices[1], nobody, scene.devices[0], scene.devices[1]];
        let made = store.create_updates(scene.tenant, &keys, &offer, false).await?;
        let [Made::Update(second, _), Made::NoDevice, Made::Update(first, _), again] = &made[..] else {
            anyhow::bail!("{made:?}");
        };
        assert_ne!(first, second);
        assert!(matches!(again, Made::Update(id, _) if id == second), "named twice, made once");

        let again = store.create_update(scene.tenant, scene.devices[0], &offer).await?;
        assert_eq!(again, Made::AlreadyOpen(*first));
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        scene.report(scene.devices[0], *first, done, later(1)).await?;
        let again = store.create_update(scene.tenant, scene.devices[0], &offer).await?;
        assert_eq!(again, Made::AlreadyInstalled);
        let forced = store.create_updates(scene.tenant, &[scene.devices[0]], &offer, true).await?;
        assert!(matches!(forced[0], Made::Update(..)), "{forced:?}");

        assert_eq!(store.create_update(store.theirs, scene.devices[2], &offer).await.ok(), None);
    }

    async fn a_deleted_firmware_is_offered_to_nobody(store) {
        let scene = Scene::set(store, &[1]).await?;
        let gone = store.create_firmware(scene.tenant, crate::scene::firmware("9.9.9")).await?;
        assert!(store.delete_firmware(scene.tenant, gone, NOON).await?);
        for firmware in [gone, FirmwareId(987_654)] {
            let offer = tidegate_engine::ports::Offer { firmware, ..scene.offer(NOON) };
            let refused = store.create_update(scene.tenant, scene.devices[0], &offer).await;
            assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        }
        assert_eq!(device(store, 0).await?.state, DeviceState::Registered);
    }
}
