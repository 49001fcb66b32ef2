use tidegate_core::{
    campaign::CampaignStatus,
    feedback::{Execution, Finished},
    update::{SuccessCriteria, UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{
    CampaignChange, Devices as _, NewCampaign, RunRef, Runs as _, TickOutcome, Updates as _,
};

use crate::{
    blob::MEMBERS_PER_CHUNK,
    test_fixture::{NOON, StoreFixture, TIMEOUT, feedback, later, spec},
    testing::on_both,
};

on_both! {
    async fn devices_are_offered_the_update_once_and_in_order(store) {
        let fixture = StoreFixture::new(store, &[7]).await?;
        let fence = fixture.lease().await?;
        assert_eq!(fixture.offer_updates(fence, 0, 10).await?.remaining, 0, "none is released");
        let mut applied = fixture.noop().await?;
        applied.levels = Some(vec![5]);
        assert!(store.apply(fixture.run, fence, applied).await?);
        let mut admitted = Vec::new();
        for left in [3, 1, 0, 0] {
            let slice = fixture.offer_updates(fence, 0, 2).await?;
            assert_eq!(slice.remaining, left);
            admitted.extend(slice.affected.into_iter().map(|affected| affected.device));
        }
        assert_eq!(admitted, fixture.devices[..5]);
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((run.waves[0].admitted, counts.offered, counts.pending), (5, 5, 2));
        assert_eq!(run.rollback_progress.open_updates, 5);
        let update = fixture.latest_update(fixture.devices[0]).await?.update;
        assert_eq!(update.state.timeout_at, NOON.plus(TIMEOUT));
        assert_eq!(update.weight, 500);
        assert_eq!(fixture.updates_of(fixture.devices[5]).await?.total, 0);
    }

    async fn a_batch_may_span_two_chunks(store) {
        let fixture = StoreFixture::new(store, &[MEMBERS_PER_CHUNK + 10]).await?;
        let fence = fixture.lease().await?;
        let mut applied = fixture.noop().await?;
        applied.levels = Some(vec![MEMBERS_PER_CHUNK as u64 + 10]);
        assert!(store.apply(fixture.run, fence, applied).await?);
        let first = fixture.offer_updates(fence, 0, MEMBERS_PER_CHUNK as u32 - 10).await?;
        assert_eq!((first.affected.len(), first.remaining), (MEMBERS_PER_CHUNK - 10, 20));
        let rest = fixture.offer_updates(fence, 0, 1000).await?;
        let rest: Vec<_> = rest.affected.into_iter().map(|affected| affected.device).collect();
        assert_eq!(rest, fixture.devices[MEMBERS_PER_CHUNK - 10..]);
    }

    async fn released_devices_can_be_sorted_and_stay_the_same_devices(store) {
        let size = MEMBERS_PER_CHUNK + 10;
        let fixture = StoreFixture::new(store, &[size]).await?;
        let campaign = NewCampaign {
            spec: spec(fixture.new, SuccessCriteria::Reported),
            created_by: "creator".into(),
            created_at: NOON,
        };
        let id = store.create_campaign(store.ours, campaign).await?;
        let mut start = fixture.campaign_start(&[size]);
        start.waves[0].members.reverse();
        let members = start.waves[0].members.clone();
        assert!(store.start_campaign(store.ours, id, 0, start).await?);
        let run = RunRef { tenant: store.ours, campaign: id };
        let release = async |level: usize| {
            let fence = store.lease(run, "us", NOON, NOON).await?.expect("it is not leased");
            let levels = Some(vec![level as u64]);
            let applied = TickOutcome { levels, ..fixture.noop_for(run).await? };
            anyhow::ensure!(store.apply(run, fence, applied).await?);
            anyhow::Ok(fence)
        };
        let offer = async |fence, limit| {
            let offered = store.offer_updates(run, fence, 0, limit, &fixture.offer(NOON), false).await?;
            let devices = offered.affected.into_iter().map(|affected| affected.device);
            anyhow::Ok(devices.collect::<Vec<_>>())
        };

        let lost = release(size - 3).await?;
        let fence = release(size - 3).await?;
        assert_eq!(offer(fence, 2).await?, members[..2]);
        store.sort_released(run, lost, 0, 1000).await?;
        assert_eq!(offer(fence, 2).await?, members[2..4], "the fence was lost");
        // Across two chunks, but not up to the last released device.
        store.sort_released(run, fence, 0, MEMBERS_PER_CHUNK as u32).await?;
        let mut sorted = members[4..MEMBERS_PER_CHUNK + 4].to_vec();
        sorted.sort_unstable();
        assert_eq!(offer(fence, 1000).await?, sorted[..1000]);
        store.sort_released(run, fence, 0, 2000).await?;
        assert_eq!(offer(fence, 5000).await?, [&sorted[1000..], &members[MEMBERS_PER_CHUNK + 4..size - 3]].concat());
        let rest = release(size).await?;
        assert_eq!(offer(rest, 5000).await?, members[size - 3..], "they were not released");
        store.sort_released(run, rest, 0, 1000).await?;
        assert_eq!(offer(rest, 5000).await?, []);
    }

    async fn a_device_with_the_firmware_gets_a_completed_update(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        let installed = fixture.latest_update(key).await?.update.id;

        let campaign = NewCampaign {
            spec: spec(fixture.new, SuccessCriteria::Reported),
            created_by: "creator".into(),
            created_at: NOON,
        };
        let id = store.create_campaign(store.ours, campaign).await?;
        assert!(store.start_campaign(store.ours, id, 0, fixture.campaign_start(&[1])).await?);
        let run = RunRef { tenant: store.ours, campaign: id };
        let fence = store.lease(run, "us", NOON, NOON).await?.expect("it is not leased");
        let mut applied = fixture.noop().await?;
        (applied.generation, applied.levels) = (1, Some(vec![1]));
        assert!(store.apply(run, fence, applied).await?);
        let admitted = store.offer_updates(run, fence, 0, 10, &fixture.offer(later(2)), false).await?;
        assert_eq!(admitted.affected.len(), 1);
        let run_after = store.run(run).await?.expect("the campaign");
        assert_eq!(run_after.waves[0].report.counts.completed, 1);
        assert_eq!((run_after.rollback_progress.open_updates, run_after.durations.count), (0, 0));
        assert_eq!(store.due(later(2), 9).await?.len(), 2, "both campaigns are due");
        let view = store.poll_view(store.ours, "d-0").await?.expect("the device");
        assert_eq!((view.open, view.installed), (None, Some(installed)));
    }

    async fn a_paused_campaign_offers_no_updates(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let fence = fixture.lease().await?;
        let mut applied = fixture.noop().await?;
        applied.levels = Some(vec![2]);
        assert!(store.apply(fixture.run, fence, applied).await?);
        let change = CampaignChange { status: Some(CampaignStatus::Paused), ..CampaignChange::default() };
        assert!(store.change_campaign(store.ours, fixture.campaign(), 2, change).await?);
        let admitted = fixture.offer_updates(fence, 0, 10).await?;
        assert_eq!((admitted.affected.len(), admitted.remaining), (0, 2));
    }

    async fn a_poll_shows_the_update_of_the_highest_weight(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let first = fixture.latest_update(fixture.devices[0]).await?.update.id;
        let campaign = NewCampaign {
            spec: spec(fixture.old, SuccessCriteria::Reported),
            created_by: "creator".into(),
            created_at: NOON,
        };
        let id = store.create_campaign(store.ours, campaign).await?;
        assert!(store.start_campaign(store.ours, id, 0, fixture.campaign_start(&[1])).await?);
        let run = RunRef { tenant: store.ours, campaign: id };
        let fence = store.lease(run, "us", NOON, NOON).await?.expect("it is not leased");
        let mut applied = fixture.noop().await?;
        (applied.generation, applied.levels) = (1, Some(vec![1]));
        assert!(store.apply(run, fence, applied).await?);
        let mut offer = fixture.offer(later(1));
        (offer.weight, offer.firmware) = (900, fixture.old);
        store.offer_updates(run, fence, 0, 10, &offer, false).await?;
        let open = async || anyhow::Ok(store.poll_view(store.ours, "d-0").await?.and_then(|view| view.open));
        let heaviest = open().await?.expect("an update");
        assert_ne!(heaviest.id, first);
        assert_eq!(store.cancel_updates(run, fence, 9, later(2)).await?.len(), 1);
        let cancel = UpdateEvent::CancelFeedback(feedback(
            Execution::Closed,
            Finished::Success,
            "cancelled",
        ));
        let recorded = fixture.report(fixture.devices[0], heaviest.id, cancel, later(3)).await?;
        assert_eq!(recorded.view.open.as_ref().map(|open| (open.id, open.status)), Some((first, UpdateStatus::Offered)));
        assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view));
        assert_eq!(store.update(store.ours, heaviest.id).await?.expect("the update").update.state.status, UpdateStatus::Cancelled);
    }
}
