use tidegate_core::{
    campaign::CampaignStatus,
    feedback::{Execution, Finished},
    update::{Event, Proof, UpdateStatus},
};
use tidegate_engine::ports::{
    Campaigns as _, Change, Devices as _, NewCampaign, RunRef, Runs as _, Updates as _,
};

use crate::{
    packed::MEMBERS_PER_CHUNK,
    scene::{NOON, Scene, TIMEOUT, feedback, later, spec},
    testing::on_both,
};

on_both! {
    async fn devices_are_admitted_once_and_in_order(store) {
        let scene = Scene::set(store, &[7]).await?;
        let fence = scene.lease().await?;
        assert_eq!(scene.admit(fence, 0, 10).await?.left, 0, "none is released");
        let mut applied = scene.nothing().await?;
        applied.levels = Some(vec![5]);
        assert!(store.apply(scene.run, fence, applied).await?);
        let mut admitted = Vec::new();
        for left in [3, 1, 0, 0] {
            let slice = scene.admit(fence, 0, 2).await?;
            assert_eq!(slice.left, left);
            admitted.extend(slice.touched.into_iter().map(|touched| touched.device));
        }
        assert_eq!(admitted, scene.devices[..5]);
        let run = scene.look().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((run.waves[0].admitted, counts.offered, counts.pending), (5, 5, 2));
        assert_eq!(run.ending.open_forward, 5);
        let update = scene.newest(scene.devices[0]).await?.update;
        assert_eq!(update.progress.timeout_at, NOON.plus(TIMEOUT));
        assert_eq!(update.weight, 500);
        assert_eq!(scene.updates_of(scene.devices[5]).await?.total, 0);
    }

    async fn a_slice_may_lie_in_two_chunks(store) {
        let scene = Scene::set(store, &[MEMBERS_PER_CHUNK + 10]).await?;
        let fence = scene.lease().await?;
        let mut applied = scene.nothing().await?;
        applied.levels = Some(vec![MEMBERS_PER_CHUNK as u64 + 10]);
        assert!(store.apply(scene.run, fence, applied).await?);
        let first = scene.admit(fence, 0, MEMBERS_PER_CHUNK as u32 - 10).await?;
        assert_eq!((first.touched.len(), first.left), (MEMBERS_PER_CHUNK - 10, 20));
        let rest = scene.admit(fence, 0, 1000).await?;
        let rest: Vec<_> = rest.touched.into_iter().map(|touched| touched.device).collect();
        assert_eq!(rest, scene.devices[MEMBERS_PER_CHUNK - 10..]);
    }

    async fn a_device_that_has_the_firmware_is_done_at_once(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        let installed = scene.newest(key).await?.update.id;

        let campaign = NewCampaign {
            spec: spec(scene.new, Proof::Reported),
            created_by: "maker".into(),
            created_at: NOON,
        };
        let id = store.create_campaign(store.ours, campaign).await?;
        assert!(store.begin_campaign(store.ours, id, 0, scene.beginning(&[1])).await?);
        let run = RunRef { tenant: store.ours, campaign: id };
        let fence = store.lease(run, "us", NOON, NOON).await?.expect("free");
        let mut applied = scene.nothing().await?;
        (applied.generation, applied.levels) = (1, Some(vec![1]));
        assert!(store.apply(run, fence, applied).await?);
        let admitted = store.admit(run, fence, 0, 10, &scene.offer(later(2))).await?;
        assert_eq!(admitted.touched.len(), 1);
        let looked = store.run(run).await?.expect("the campaign");
        assert_eq!(looked.waves[0].report.counts.completed, 1);
        assert_eq!((looked.ending.open_forward, looked.durations.count), (0, 0));
        assert_eq!(store.due(later(2), 9).await?.len(), 2, "the strategy has something to see");
        let view = store.poll_view(store.ours, "d-0").await?.expect("the device");
        assert_eq!((view.open, view.installed), (None, Some(installed)));
    }

    async fn nobody_is_admitted_while_the_campaign_stands_still(store) {
        let scene = Scene::set(store, &[2]).await?;
        let fence = scene.lease().await?;
        let mut applied = scene.nothing().await?;
        applied.levels = Some(vec![2]);
        assert!(store.apply(scene.run, fence, applied).await?);
        let change = Change { status: Some(CampaignStatus::Paused), ..Change::default() };
        assert!(store.change_campaign(store.ours, scene.campaign(), 2, change).await?);
        let admitted = scene.admit(fence, 0, 10).await?;
        assert_eq!((admitted.touched.len(), admitted.left), (0, 2));
    }

    async fn a_device_is_shown_the_heaviest_update(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        let first = scene.newest(scene.devices[0]).await?.update.id;
        let campaign = NewCampaign {
            spec: spec(scene.old, Proof::Reported),
            created_by: "maker".into(),
            created_at: NOON,
        };
        let id = store.create_campaign(store.ours, campaign).await?;
        assert!(store.begin_campaign(store.ours, id, 0, scene.beginning(&[1])).await?);
        let run = RunRef { tenant: store.ours, campaign: id };
        let fence = store.lease(run, "us", NOON, NOON).await?.expect("free");
        let mut applied = scene.nothing().await?;
        (applied.generation, applied.levels) = (1, Some(vec![1]));
        assert!(store.apply(run, fence, applied).await?);
        let mut offer = scene.offer(later(1));
        (offer.weight, offer.firmware) = (900, scene.old);
        store.admit(run, fence, 0, 10, &offer).await?;
        let open = async || anyhow::Ok(store.poll_view(store.ours, "d-0").await?.and_then(|view| view.open));
        let heavy = open().await?.expect("an update");
        assert_ne!(heavy.id, first);
        assert_eq!(store.call_back(run, fence, 9, later(2)).await?.len(), 1);
        let cancel = Event::CancelFeedback(feedback(
            Execution::Closed,
            Finished::Success,
            "as you wish",
        ));
        let recorded = scene.report(scene.devices[0], heavy.id, cancel, later(3)).await?;
        assert_eq!(recorded.view.open.as_ref().map(|open| (open.id, open.status)), Some((first, UpdateStatus::Offered)));
        assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view));
        assert_eq!(store.update(store.ours, heavy.id).await?.expect("it").update.progress.status, UpdateStatus::Cancelled);
    }
}
