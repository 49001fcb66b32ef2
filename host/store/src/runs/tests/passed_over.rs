use tidegate_core::{
    campaign::{CampaignStatus, Targets},
    id::CampaignId,
    mode::{DeviceMode, PassedOver},
    update::{Proof, UpdateStatus},
};
use tidegate_engine::ports::{
    Beginning, Campaigns as _, Change, DeviceChange, Devices as _, NewCampaign, NewWave,
    Registry as _, RunRef, Runs as _,
};

use crate::{
    scene::{NOON, Scene, later, spec},
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

/// A campaign of this scene's devices on a feed that begins then, one wave of the devices of this range.
async fn on_feed(
    scene: &Scene<'_>,
    store: &TestStore,
    second: i64,
    range: std::ops::Range<usize>,
) -> anyhow::Result<RunRef> {
    let mut spec = spec(scene.new, Proof::Reported);
    spec.targets = Targets {
        feed: Some("beta".into()),
        ..Targets::default()
    };
    let campaign = NewCampaign {
        spec,
        created_by: "maker".into(),
        created_at: later(second),
    };
    let id = store.create_campaign(store.ours, campaign).await?;
    let read = store.campaign(store.ours, id).await?.expect("it was made");
    assert_eq!(read.spec.targets.feed.as_deref(), Some("beta"));
    let members = scene.devices[range].to_vec();
    let wave = NewWave {
        name: "all".into(),
        members,
    };
    let beginning = Beginning {
        at: later(second),
        waves: vec![wave],
        ..scene.beginning(&[])
    };
    assert!(store.begin_campaign(store.ours, id, 0, beginning).await?);
    Ok(RunRef {
        tenant: store.ours,
        campaign: id,
    })
}

/// Releases a whole campaign of one wave; answers how many of it stand where: offered and cancelled.
async fn release(
    scene: &Scene<'_>,
    store: &TestStore,
    run: RunRef,
    level: u64,
) -> anyhow::Result<(u64, u64)> {
    let fence = store.lease(run, "us", NOON, NOON).await?.expect("free");
    let mut applied = scene.nothing().await?;
    let look = store.run(run).await?.expect("the campaign");
    (applied.generation, applied.levels) = (look.campaign.generation, Some(vec![level]));
    assert!(store.apply(run, fence, applied).await?);
    store
        .admit(run, fence, 0, 100, &scene.offer(later(60)))
        .await?;
    let counts = store.run(run).await?.expect("the campaign").waves[0]
        .report
        .counts;
    Ok((counts.offered, counts.cancelled))
}

on_both! {
    async fn who_is_pinned_or_in_another_mode_is_passed_over_and_let_in_afterwards(store) {
        let scene = Scene::set(store, &[4]).await?;
        store.change_device(store.ours, "d-1", pin(true)).await?;
        store.change_device(store.ours, "d-2", mode(DeviceMode::Manual)).await?;
        store.change_device(store.ours, "d-3", mode(DeviceMode::Latest)).await?;
        scene.release(&[4]).await?;
        let counts = async || anyhow::Ok(scene.look().await?.waves[0].report.counts);
        let now = counts().await?;
        assert_eq!((now.offered, now.cancelled, now.pending), (1, 3, 0));
        let why = async |n: usize| {
            store.passed_over(store.ours, scene.campaign(), scene.devices[n]).await
        };
        assert_eq!(why(0).await?, None);
        assert_eq!(why(1).await?, Some(PassedOver::Pinned));
        assert_eq!(why(3).await?, Some(PassedOver::Mode));
        assert_eq!(scene.updates_of(scene.devices[1]).await?.total, 0);

        // Another pin does not help one that is pinned and manual; both must go.
        let fence = scene.lease().await?;
        let again = async || store.admit_after_all(scene.run, fence, 10, &scene.offer(later(60))).await;
        assert_eq!(again().await?, []);
        let woken = store.change_device(store.ours, "d-1", mode(DeviceMode::Manual)).await?;
        assert_eq!(woken, [scene.campaign()]);
        assert!(store.due(later(51), 9).await?.contains(&scene.run), "the campaign is to look");
        assert_eq!(again().await?, []);
        store.change_device(store.ours, "d-1", pin(false)).await?;
        assert_eq!(again().await?, []);
        assert_eq!(why(1).await?, Some(PassedOver::Mode));
        store.change_device(store.ours, "d-1", mode(DeviceMode::Rollout)).await?;
        let touched = again().await?;
        assert_eq!(touched.iter().map(|touched| &*touched.device_id).collect::<Vec<_>>(), ["d-1"]);
        assert_eq!(again().await?, [], "once");
        assert_eq!(why(1).await?, None);
        let now = counts().await?;
        assert_eq!((now.offered, now.cancelled), (2, 2));
        scene.succeeds(scene.devices[1], later(61)).await?;
        assert_eq!(counts().await?.completed, 1);

        // What was passed over when the campaign ends stays so.
        let change = Change { status: Some(CampaignStatus::Completed), ..Change::default() };
        let generation = scene.look().await?.campaign.generation;
        assert!(store.change_campaign(store.ours, scene.campaign(), generation, change).await?);
        store.change_device(store.ours, "d-2", mode(DeviceMode::Rollout)).await?;
        let fence = scene.lease().await?;
        assert_eq!(store.admit_after_all(scene.run, fence, 10, &scene.offer(later(62))).await?, []);
        let other = store.change_device(store.ours, "d-3", follow("beta")).await?;
        assert_eq!(other, [scene.campaign()]);
        assert_eq!(store.passed_over(store.theirs, scene.campaign(), scene.devices[2]).await?, None);
    }

    async fn a_pinned_device_finishes_what_it_has_open(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        store.change_device(store.ours, "d-0", pin(true)).await?;
        let open = store.poll_view(store.ours, "d-0").await?.expect("the device").open;
        assert!(open.is_some());
        scene.succeeds(scene.devices[0], later(60)).await?;
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Completed);
        assert_eq!(scene.look().await?.waves[0].report.counts.completed, 1);
    }

    async fn the_newest_campaign_on_a_feed_wins(store) {
        let scene = Scene::set(store, &[4]).await?;
        for id in ["d-0", "d-1", "d-2", "d-3"] {
            store.change_device(store.ours, id, follow("beta")).await?;
        }
        let older = on_feed(&scene, store, 10, 0..4).await?;
        assert_eq!(release(&scene, store, older, 1).await?, (1, 0), "there is no newer one yet");
        let newer = on_feed(&scene, store, 20, 0..3).await?;
        // One leaves the feed before its turn comes.
        store.change_device(store.ours, "d-2", follow("stable")).await?;
        assert_eq!(release(&scene, store, older, 4).await?, (2, 2));
        let why = async |run: RunRef, n: usize| {
            store.passed_over(store.ours, run.campaign, scene.devices[n]).await
        };
        assert_eq!(why(older, 1).await?, Some(PassedOver::Superseded));
        assert_eq!(why(older, 2).await?, Some(PassedOver::Feed));
        assert_eq!(why(older, 3).await?, None, "the newer one does not have it");
        assert_eq!(release(&scene, store, newer, 3).await?, (2, 1));
        assert_eq!(why(newer, 0).await?, None);
    }

    async fn a_newer_campaign_that_was_withdrawn_supersedes_nothing(store) {
        let scene = Scene::set(store, &[1]).await?;
        store.change_device(store.ours, "d-0", follow("beta")).await?;
        let older = on_feed(&scene, store, 10, 0..1).await?;
        let newer = on_feed(&scene, store, 10, 0..1).await?;
        cancel(store, newer.campaign).await?;
        assert_eq!(release(&scene, store, older, 1).await?, (1, 0));
    }

    async fn a_device_that_drifted_is_offered_the_firmware_by_a_new_campaign(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        scene.succeeds(scene.devices[0], later(1)).await?;
        scene.reports_version(scene.devices[0], "1.0.0", later(2)).await?;
        // Nobody does anything: nothing comes.
        let view = store.poll_view(store.ours, "d-0").await?.expect("the device");
        assert_eq!(view.open, None);
        store.change_device(store.ours, "d-0", follow("beta")).await?;
        let again = on_feed(&scene, store, 10, 0..1).await?;
        assert_eq!(release(&scene, store, again, 1).await?, (1, 0), "it is not done at once");
    }
}

async fn cancel(store: &TestStore, id: CampaignId) -> anyhow::Result<()> {
    let change = Change {
        status: Some(CampaignStatus::Cancelled),
        ..Change::default()
    };
    assert!(store.change_campaign(store.ours, id, 1, change).await?);
    Ok(())
}
