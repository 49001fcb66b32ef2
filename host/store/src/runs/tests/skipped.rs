use tidegate_core::{
    campaign::{CampaignStatus, Targets},
    id::CampaignId,
    mode::{DeviceMode, SkipReason},
    update::{SuccessCriteria, UpdateStatus},
};
use tidegate_engine::ports::{
    CampaignChange, CampaignStart, Campaigns as _, DeviceChange, Devices as _, NewCampaign,
    NewWave, Registry as _, RunRef, Runs as _,
};

use crate::{
    test_fixture::{NOON, StoreFixture, later, spec},
    testing::{TestStore, on_both},
};

fn pin(pinned: bool) -> DeviceChange {
    DeviceChange {
        pinned: Some(pinned),
        ..DeviceChange::at(later(50))
    }
}

fn mode(mode: DeviceMode) -> DeviceChange {
    DeviceChange {
        mode: Some(mode),
        ..DeviceChange::at(later(50))
    }
}

fn follow(feed: &str) -> DeviceChange {
    DeviceChange {
        feed: Some(Some(feed.to_owned())),
        ..DeviceChange::at(later(1))
    }
}

/// Starts a campaign on a feed with one wave of these devices of the fixture.
async fn on_feed(
    fixture: &StoreFixture<'_>,
    store: &TestStore,
    second: i64,
    range: std::ops::Range<usize>,
) -> anyhow::Result<RunRef> {
    let mut spec = spec(fixture.new, SuccessCriteria::Reported);
    spec.targets = Targets {
        feed: Some("beta".into()),
        ..Targets::default()
    };
    let campaign = NewCampaign {
        spec,
        created_by: "creator".into(),
        created_at: later(second),
    };
    let id = store.create_campaign(store.ours, campaign).await?;
    let read = store
        .campaign(store.ours, id)
        .await?
        .expect("it was created");
    assert_eq!(read.spec.targets.feed.as_deref(), Some("beta"));
    let members = fixture.devices[range].to_vec();
    let wave = NewWave {
        name: "all".into(),
        members,
    };
    let campaign_start = CampaignStart {
        at: later(second),
        waves: vec![wave],
        ..fixture.campaign_start(&[])
    };
    assert!(
        store
            .start_campaign(store.ours, id, 0, campaign_start)
            .await?
    );
    Ok(RunRef {
        tenant: store.ours,
        campaign: id,
    })
}

/// Releases a campaign of one wave completely; returns its numbers of offered and of cancelled devices.
async fn release(
    fixture: &StoreFixture<'_>,
    store: &TestStore,
    run: RunRef,
    level: u64,
) -> anyhow::Result<(u64, u64)> {
    let fence = store.lease(run, "us", NOON, NOON).await?.expect("free");
    let mut applied = fixture.noop().await?;
    let read_run = store.run(run).await?.expect("the campaign");
    (applied.generation, applied.levels) = (read_run.campaign.generation, Some(vec![level]));
    assert!(store.apply(run, fence, applied).await?);
    store
        .offer_updates(run, fence, 0, 100, &fixture.offer(later(60)), false)
        .await?;
    let counts = store.run(run).await?.expect("the campaign").waves[0]
        .report
        .counts;
    Ok((counts.offered, counts.cancelled))
}

on_both! {
    async fn pinned_devices_and_other_modes_are_skipped_and_offered_later(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        store.change_device(store.ours, "d-1", pin(true)).await?;
        store.change_device(store.ours, "d-2", mode(DeviceMode::Manual)).await?;
        store.change_device(store.ours, "d-3", mode(DeviceMode::Latest)).await?;
        fixture.release(&[4]).await?;
        let counts = async || anyhow::Ok(fixture.read_run().await?.waves[0].report.counts);
        let now = counts().await?;
        assert_eq!((now.offered, now.cancelled, now.pending), (1, 3, 0));
        let why = async |n: usize| {
            store.skip_reason(store.ours, fixture.campaign(), fixture.devices[n]).await
        };
        assert_eq!(why(0).await?, None);
        assert_eq!(why(1).await?, Some(SkipReason::Pinned));
        assert_eq!(why(3).await?, Some(SkipReason::Mode));
        assert_eq!(fixture.updates_of(fixture.devices[1]).await?.total, 0);

        // A device that is pinned and in mode manual is skipped until both reasons are gone.
        let fence = fixture.lease().await?;
        let again = async || store.offer_skipped_updates(fixture.run, fence, 10, &fixture.offer(later(60))).await;
        assert_eq!(again().await?, []);
        let woken = store.change_device(store.ours, "d-1", mode(DeviceMode::Manual)).await?;
        assert_eq!(woken, [fixture.campaign()]);
        assert!(store.due(later(51), 9).await?.contains(&fixture.run), "the campaign is due");
        assert_eq!(again().await?, []);
        store.change_device(store.ours, "d-1", pin(false)).await?;
        assert_eq!(again().await?, []);
        assert_eq!(why(1).await?, Some(SkipReason::Mode));
        store.change_device(store.ours, "d-1", mode(DeviceMode::Rollout)).await?;
        let affected = again().await?;
        assert_eq!(affected.iter().map(|affected| &*affected.device_id).collect::<Vec<_>>(), ["d-1"]);
        assert_eq!(again().await?, [], "once");
        assert_eq!(why(1).await?, None);
        let now = counts().await?;
        assert_eq!((now.offered, now.cancelled), (2, 2));
        fixture.report_success(fixture.devices[1], later(61)).await?;
        assert_eq!(counts().await?.completed, 1);

        // A device that was skipped when the campaign ended stays skipped.
        let change = CampaignChange { status: Some(CampaignStatus::Completed), ..CampaignChange::default() };
        let generation = fixture.read_run().await?.campaign.generation;
        assert!(store.change_campaign(store.ours, fixture.campaign(), generation, change).await?);
        store.change_device(store.ours, "d-2", mode(DeviceMode::Rollout)).await?;
        let fence = fixture.lease().await?;
        assert_eq!(store.offer_skipped_updates(fixture.run, fence, 10, &fixture.offer(later(62))).await?, []);
        let other = store.change_device(store.ours, "d-3", follow("beta")).await?;
        assert_eq!(other, [fixture.campaign()]);
        assert_eq!(store.skip_reason(store.theirs, fixture.campaign(), fixture.devices[2]).await?, None);
    }

    async fn a_pinned_device_finishes_what_it_has_open(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        store.change_device(store.ours, "d-0", pin(true)).await?;
        let open = store.poll_view(store.ours, "d-0").await?.expect("the device").open;
        assert!(open.is_some());
        fixture.report_success(fixture.devices[0], later(60)).await?;
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }

    async fn the_newest_campaign_on_a_feed_wins(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        for id in ["d-0", "d-1", "d-2", "d-3"] {
            store.change_device(store.ours, id, follow("beta")).await?;
        }
        let older = on_feed(&fixture, store, 10, 0..4).await?;
        assert_eq!(release(&fixture, store, older, 1).await?, (1, 0), "there is no newer campaign");
        let newer = on_feed(&fixture, store, 20, 0..3).await?;
        // A device leaves the feed before its wave is released.
        store.change_device(store.ours, "d-2", follow("stable")).await?;
        assert_eq!(release(&fixture, store, older, 4).await?, (2, 2));
        let why = async |run: RunRef, n: usize| {
            store.skip_reason(store.ours, run.campaign, fixture.devices[n]).await
        };
        assert_eq!(why(older, 1).await?, Some(SkipReason::Superseded));
        assert_eq!(why(older, 2).await?, Some(SkipReason::Feed));
        assert_eq!(why(older, 3).await?, None, "it is not in the newer campaign");
        assert_eq!(release(&fixture, store, newer, 3).await?, (2, 1));
        assert_eq!(why(newer, 0).await?, None);
    }

    async fn a_newer_campaign_that_was_withdrawn_supersedes_nothing(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        store.change_device(store.ours, "d-0", follow("beta")).await?;
        let older = on_feed(&fixture, store, 10, 0..1).await?;
        let newer = on_feed(&fixture, store, 10, 0..1).await?;
        cancel(store, newer.campaign).await?;
        assert_eq!(release(&fixture, store, older, 1).await?, (1, 0));
    }

    async fn a_device_that_drifted_is_offered_the_firmware_by_a_new_campaign(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        fixture.report_success(fixture.devices[0], later(1)).await?;
        fixture.report_version(fixture.devices[0], "1.0.0", later(2)).await?;
        // The drift alone creates no update.
        let view = store.poll_view(store.ours, "d-0").await?.expect("the device");
        assert_eq!(view.open, None);
        store.change_device(store.ours, "d-0", follow("beta")).await?;
        let again = on_feed(&fixture, store, 10, 0..1).await?;
        assert_eq!(release(&fixture, store, again, 1).await?, (1, 0), "it is not completed at creation");
    }
}

async fn cancel(store: &TestStore, id: CampaignId) -> anyhow::Result<()> {
    let change = CampaignChange {
        status: Some(CampaignStatus::Cancelled),
        ..CampaignChange::default()
    };
    assert!(store.change_campaign(store.ours, id, 1, change).await?);
    Ok(())
}
