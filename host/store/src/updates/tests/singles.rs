use tidegate_core::{
    campaign::RETURN_WEIGHT,
    feedback::{Execution, Finished},
    id::{DeviceKey, FirmwareId},
    update::{Event, Proof},
};
use tidegate_engine::ports::{
    DeviceChange, Firmwares as _, Made, Offer, Past, Registry as _, SingleUpdates as _, StoreError,
};

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

    async fn who_is_brought_back_has_nothing_else_to_do(store) {
        let scene = Scene::with_proof(store, &[2], Proof::Attested).await?;
        scene.release(&[2]).await?;
        let [busy, unproven] = scene.devices[..] else {
            anyhow::bail!("two devices");
        };
        let took_it_up = Event::Feedback(feedback(Execution::Proceeding, Finished::None, "at it"));
        scene.happens(busy, took_it_up, later(1)).await??;
        scene.succeeds(unproven, later(1)).await?;
        let back = Offer {
            firmware: scene.old,
            to_version: "1.0.0".into(),
            weight: RETURN_WEIGHT,
            proof: Proof::Reported,
            ..scene.offer(later(2))
        };
        let none = Past::default();
        for (key, status) in [(busy, UpdateStatus::Cancelling), (unproven, UpdateStatus::Cancelled)] {
            let open = scene.newest(key).await?.update.id;
            // An obstacle calls nothing back.
            let same = Offer { firmware: scene.new, ..back.clone() };
            let refused = store.bring_back(store.ours, key, &same, none).await?;
            assert_eq!(refused, (Made::AlreadyOpen(open), vec![]));

            let (made, called_back) = store.bring_back(store.ours, key, &back, none).await?;
            assert_eq!(called_back, [(open, Some(scene.campaign()))]);
            assert_eq!(scene.status_of(key).await?, status);
            let Made::Update(id, touched) = made else {
                anyhow::bail!("nothing stands against it");
            };
            let view = store.poll_view(store.ours, &touched.device_id).await?.context("a view")?;
            assert_eq!(view.open.map(|open| open.id), Some(id), "it is shown first");
            let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "back"));
            let recorded = scene.report(key, id, done, later(3)).await?;
            let next = recorded.view.open.map(|open| (open.id, open.status));
            let next_is = (status == UpdateStatus::Cancelling).then_some((open, status));
            assert_eq!(next, next_is, "nothing undoes it");
        }
        let counts = scene.look().await?.waves[0].report.counts;
        assert_eq!((counts.cancelled, counts.in_progress), (1, 1));
    }

    async fn a_pin_and_what_is_there_are_gone_past_each_by_itself(store) {
        let scene = Scene::set(store, &[1]).await?;
        let key = scene.devices[0];
        let offer = scene.offer(NOON);
        let none = Past::default();
        let (Made::Update(id, _), _) = store.bring_back(store.ours, key, &offer, none).await? else {
            anyhow::bail!("nothing stands against it");
        };
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        scene.report(key, id, done, later(1)).await?;
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        for (pin, installed, expected) in [
            (false, false, Some(Made::Pinned)),
            (false, true, Some(Made::Pinned)),
            (true, false, Some(Made::AlreadyInstalled)),
            (true, true, None),
        ] {
            let (made, _) = store.bring_back(store.ours, key, &offer, Past { pin, installed }).await?;
            match expected {
                Some(expected) => assert_eq!(made, expected),
                None => assert!(matches!(made, Made::Update(..)), "{made:?}"),
            }
        }
        let (made, _) = store.bring_back(store.theirs, key, &offer, none).await.unwrap_or((Made::NoDevice, vec![]));
        assert_eq!(made, Made::NoDevice);
    }
}
