use tidegate_core::{
    campaign::RETURN_WEIGHT,
    device::DeviceState,
    feedback::{Execution, Finished},
    mode::PassedOver,
    plugin::Scope,
    update::{Event, Proof, Purpose, Retries, Terms, UpdateStatus},
};
use tidegate_engine::ports::{
    DeviceChange, Devices as _, Firmwares as _, Made, Offer, Past, Registry as _, Runs as _,
    SingleUpdates as _,
};

use crate::{
    scene::{Scene, TIMEOUT, feedback, firmware, later},
    testing::on_both,
};

fn heavy(scene: &Scene<'_>) -> Offer {
    Offer {
        weight: RETURN_WEIGHT,
        ..scene.offer(later(100))
    }
}

on_both! {
    async fn a_rollback_reaches_devices_done_and_in_flight(store) {
        let scene = Scene::set(store, &[5]).await?;
        scene.release(&[5]).await?;
        let [done, failed, went_over, in_flight, stubborn] = scene.devices[..] else {
            anyhow::bail!("five devices");
        };
        scene.succeeds(done, later(1)).await?;
        scene.fails(failed, "CHECKSUM_MISMATCH", later(1)).await?;
        scene.fails(went_over, "lamp broke", later(1)).await?;
        scene.reports_version(went_over, "1.1.0", later(2)).await?;

        let fence = scene.turn_back().await?;
        let touched = store.call_back(scene.run, fence, 10, later(10)).await?;
        assert_eq!(touched.len(), 2);
        assert!(store.call_back(scene.run, fence, 10, later(10)).await?.is_empty(), "each once");
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (3, 2));
        let again = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!(again.looked_at, 0);

        let back = scene.newest(done).await?.update;
        assert_eq!(back.campaign, Some((scene.campaign(), Purpose::Return)));
        assert_eq!((back.firmware, back.to_version.as_str(), back.weight), (scene.old, "1.0.0", RETURN_WEIGHT));
        assert_eq!((back.from_version.as_deref(), back.from_firmware), (Some("1.1.0"), Some(scene.new)));
        assert_eq!(scene.updates_of(failed).await?.total, 1, "it never went over");

        let answer = |execution| Event::CancelFeedback(feedback(execution, Finished::None, "heard"));
        scene.happens(in_flight, answer(Execution::Canceled), later(11)).await??;
        scene.happens(stubborn, answer(Execution::Rejected), later(11)).await??;
        assert!(store.call_back(scene.run, fence, 10, later(12)).await?.is_empty(), "it has said no");
        scene.succeeds(stubborn, later(12)).await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (2, 1));
        let ending = scene.look().await?.ending;
        assert_eq!((ending.open_forward, ending.to_look_at, ending.open_return), (0, 0, 3));

        scene.succeeds(done, later(20)).await?;
        scene.succeeds(stubborn, later(20)).await?;
        scene.fails(went_over, "no", later(20)).await?;
        let run = scene.look().await?;
        assert_eq!((run.ending.returned, run.ending.not_returned, run.ending.open_return), (2, 1, 0));
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.completed, counts.failed, counts.cancelled), (2, 2, 1), "waves count the way there");
        let device = store.device(store.ours, "d-0").await?.expect("the device");
        assert_eq!((device.state, device.sw_version.as_deref()), (DeviceState::InSync, Some("1.0.0")));
        assert_eq!(device.installed_firmware, Some(scene.old));
    }

    async fn a_rollback_of_what_is_in_flight_leaves_what_is_done(store) {
        let scene = Scene::set(store, &[2]).await?;
        scene.release(&[2]).await?;
        scene.succeeds(scene.devices[0], later(1)).await?;
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::InFlight, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (1, 0));
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Completed);
    }

    async fn what_the_server_does_not_have_cannot_come_back(store) {
        let scene = Scene::set(store, &[2]).await?;
        scene.reports_version(scene.devices[0], "0.9.0", later(0)).await?;
        scene.release(&[2]).await?;
        for key in &scene.devices {
            scene.succeeds(*key, later(1)).await?;
        }
        // Deleted firmware is not looked for by version.
        assert!(store.delete_firmware(store.ours, scene.old, later(2)).await?);
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (2, 0));
        let ending = scene.look().await?.ending;
        assert_eq!((ending.impossible, ending.to_look_at), (2, 0));
    }

    async fn another_product_or_model_is_nothing_to_go_back_to(store) {
        let scene = Scene::set(store, &[4]).await?;
        let [ours, of_another_model, silent, of_another_product] = scene.devices[..] else {
            anyhow::bail!("four devices");
        };
        let mut for_a = firmware("0.8.0");
        for_a.details.device_model = Some("A".into());
        let for_a = store.create_firmware(store.ours, for_a).await?;
        let mut gateway = firmware("0.9.0");
        gateway.details.name = "gateway".into();
        store.create_firmware(store.ours, gateway).await?;
        for (key, model, version) in [
            (ours, Some("A"), "v0.8"),
            (of_another_model, Some("B"), "0.8.0"),
            (silent, None, "0.8.0"),
            (of_another_product, Some("A"), "0.9.0"),
        ] {
            scene.reports_version(key, version, later(0)).await?;
            if let Some(model) = model {
                scene.reports(key, "hw_model", model, later(0)).await?;
            }
        }
        scene.release(&[4]).await?;
        for key in &scene.devices {
            scene.succeeds(*key, later(1)).await?;
        }
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (4, 1));
        assert_eq!(scene.newest(ours).await?.update.firmware, for_a);
        let ending = scene.look().await?.ending;
        assert_eq!((ending.impossible, ending.to_look_at, ending.open_return), (3, 0, 1));
    }

    async fn who_installed_it_and_never_proved_it_goes_back(store) {
        let scene = Scene::with_proof(store, &[4], Proof::Attested).await?;
        let [unproven, impossible, moved_on, never_began] = scene.devices[..] else {
            anyhow::bail!("four devices");
        };
        scene.reports_version(impossible, "0.9.0", later(0)).await?;
        scene.release(&[4]).await?;
        for key in [unproven, impossible, moved_on] {
            scene.succeeds(key, later(1)).await?;
            assert_eq!(scene.status_of(key).await?, UpdateStatus::Verifying);
        }
        let fence = scene.turn_back().await?;
        store.call_back(scene.run, fence, 10, later(2)).await?;
        // What came later is not this campaign's to take back.
        let other = store.create_firmware(store.ours, firmware("1.2.0")).await?;
        let offer = Offer { firmware: other, to_version: "1.2.0".into(), proof: Proof::Reported, ..heavy(&scene) };
        let Made::Update(id, _) = store.create_update(store.ours, moved_on, &offer).await? else {
            anyhow::bail!("nothing stands against it");
        };
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        scene.report(moved_on, id, done, later(101)).await?;

        store.expire(later(8000), 10).await?;
        assert_eq!(scene.status_of(unproven).await?, UpdateStatus::TimedOut);
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (4, 1));
        let back = scene.newest(unproven).await?.update;
        assert_eq!((back.firmware, back.campaign), (scene.old, Some((scene.campaign(), Purpose::Return))));
        assert_eq!(scene.status_of(never_began).await?, UpdateStatus::Cancelled);
        let ending = scene.look().await?.ending;
        assert_eq!((ending.impossible, ending.to_look_at, ending.open_return), (1, 0, 1));
    }

    async fn who_went_over_before_the_last_try_goes_back(store) {
        let terms = Terms {
            retries: Retries { most: 1, ..Retries::NONE },
            ..Terms::forced(TIMEOUT)
        };
        let scene = Scene::on(store, &[1], Proof::Attested, terms).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        store.expire(later(3600), 10).await?;
        let again = scene.newest(key).await?.update;
        assert_eq!((again.progress.status, again.progress.went_over), (UpdateStatus::Scheduled, true));
        let fence = scene.turn_back().await?;
        store.call_back(scene.run, fence, 10, later(3601)).await?;
        let returned = store.send_back(scene.run, fence, Scope::InFlight, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (1, 1));
        assert_eq!(scene.newest(key).await?.update.firmware, scene.old);
    }

    async fn pinned_devices_stay_and_say_so(store) {
        let scene = Scene::set(store, &[2]).await?;
        scene.release(&[2]).await?;
        for key in &scene.devices {
            scene.succeeds(*key, later(1)).await?;
        }
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (2, 1));
        assert_eq!(returned.touched[0].device_id, "d-1");
        let ending = scene.look().await?.ending;
        assert_eq!((ending.pinned, ending.impossible, ending.to_look_at), (1, 0, 0));
        let why = store.passed_over(store.ours, scene.campaign(), scene.devices[0]).await?;
        assert_eq!(why, Some(PassedOver::Pinned));
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Completed);
    }

    async fn who_is_being_brought_back_needs_no_second_way(store) {
        let scene = Scene::set(store, &[3]).await?;
        scene.release(&[3]).await?;
        let [on_its_way, called_back, lighter] = scene.devices[..] else {
            anyhow::bail!("three devices");
        };
        for key in &scene.devices {
            scene.succeeds(*key, later(1)).await?;
        }
        let back = Offer { firmware: scene.old, to_version: "1.0.0".into(), ..heavy(&scene) };
        let light = Offer { weight: RETURN_WEIGHT - 1, ..back.clone() };
        for (key, offer) in [(on_its_way, &back), (called_back, &back), (lighter, &light)] {
            let (made, _) = store.bring_back(store.ours, key, offer, Past::default()).await?;
            let Made::Update(id, _) = made else {
                anyhow::bail!("it is not brought back: {made:?}");
            };
            if key == called_back {
                scene.report(key, id, Event::CancelRequested, later(2)).await?;
            }
        }
        // A way back goes past a pin, once it is there.
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!(returned.looked_at, 3);
        let touched: Vec<_> = returned.touched.iter().map(|touched| touched.device).collect();
        assert_eq!(touched, [called_back, lighter]);
        let ending = scene.look().await?.ending;
        assert_eq!((ending.under_way, ending.open_return, ending.pinned, ending.to_look_at), (1, 2, 0, 0));
    }

    async fn what_a_later_update_brought_stays(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        let mut tx = store.database.write().await?;
        sqlx::query("UPDATE devices SET installed_update_id = NULL WHERE tenant_id = $1")
            .bind(store.ours.0)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &heavy(&scene)).await?;
        assert_eq!((returned.looked_at, returned.touched.len()), (1, 0));
        assert_eq!(scene.look().await?.ending.impossible, 0);
    }
}
