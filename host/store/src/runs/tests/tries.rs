use std::time::Duration;

use anyhow::Context as _;
use tidegate_core::{
    campaign::CampaignStatus,
    device::{AutoConfirm, DeviceState},
    feedback::{Execution, Finished},
    id::UpdateId,
    plugin::Scope,
    time::Timestamp,
    update::{
        Confirmation, Event, OnDenied, Proof, Purpose, Refusal, Retries, Terms, UpdateStatus,
    },
};
use tidegate_engine::ports::{
    Campaigns as _, Change, Consents as _, DeviceChange, Devices as _, Offer, RecordError,
    Registry as _, Runs as _, SingleUpdates as _,
};

use crate::{
    scene::{NOON, Scene, TIMEOUT, feedback, later},
    testing::{TestStore, on_both},
};

const MINUTE: Duration = Duration::from_mins(1);

fn terms(most: u32) -> Terms {
    Terms {
        retries: Retries {
            most,
            delay: MINUTE,
        },
        ..Terms::forced(TIMEOUT)
    }
}

/// A campaign of so many devices, all of them admitted, that tries so often again.
async fn admitted(store: &TestStore, devices: usize, most: u32) -> anyhow::Result<Scene<'_>> {
    let scene = Scene::on(store, &[devices], Proof::Reported, terms(most)).await?;
    scene.release(&[devices as u64]).await?;
    Ok(scene)
}

/// When the newest update of the first device is to go out.
async fn scheduled_at(scene: &Scene<'_>) -> anyhow::Result<Timestamp> {
    let newest = scene.newest(scene.devices[0]).await?.update;
    newest.attempt.scheduled_at.context("it is a retry")
}

async fn goes(scene: &Scene<'_>, store: &TestStore, to: CampaignStatus) -> anyhow::Result<()> {
    let generation = scene.look().await?.campaign.generation;
    let change = Change {
        status: Some(to),
        ..Change::default()
    };
    let changed = store.change_campaign(scene.tenant, scene.campaign(), generation, change);
    anyhow::ensure!(changed.await?, "it goes there");
    Ok(())
}

async fn shown(store: &TestStore) -> anyhow::Result<Option<UpdateId>> {
    let view = store.poll_view(store.ours, "d-0").await?;
    Ok(view.context("the device")?.open.map(|open| open.id))
}

on_both! {
    async fn a_device_that_fails_twice_and_then_succeeds_never_failed(store) {
        let scene = admitted(store, 1, 3).await?;
        let key = scene.devices[0];
        let first = scene.newest(key).await?.update;
        let mut at = later(1);
        for count in 1..=2 {
            let failed = Event::Feedback(feedback(Execution::Closed, Finished::Failure, "CHECKSUM_MISMATCH"));
            let recorded = scene.happens(key, failed.clone(), at).await??;
            assert_eq!((&recorded.view.open, recorded.campaigns), (&None, vec![scene.campaign()]));
            assert_eq!(store.poll_view(store.ours, "d-0").await?, Some(recorded.view), "memory and rows agree");

            let next = scene.newest(key).await?.update;
            assert_eq!((next.progress.status, next.attempt.count), (UpdateStatus::Scheduled, count));
            assert_eq!((next.attempt.first, next.attempt.is_retried), (Some(first.id), false));
            assert_eq!((&next.from_version, next.from_firmware), (&first.from_version, first.from_firmware));
            let due = scheduled_at(&scene).await?;
            assert!(due >= at.plus(MINUTE * count) && due <= at.plus(MINUTE * count * 5 / 4), "{due:?}");
            let counts = scene.look().await?.waves[0].report.counts;
            assert_eq!((counts.offered, counts.failed, counts.total()), (1, 0, 1));
            let device = store.device(store.ours, "d-0").await?.context("the device")?;
            assert_eq!(device.state, DeviceState::Pending);

            // The device cannot know of it, and is not shown it before its time.
            let early = scene.happens(key, failed, at).await?;
            assert!(matches!(early, Err(RecordError::Refused(Refusal::Closed))), "{early:?}");
            assert!(store.expire(Timestamp(due.0 - 1), 10).await?.is_empty());
            assert_eq!(shown(store).await?, None);
            assert_eq!(store.expire(due, 10).await?.len(), 1);
            assert_eq!(shown(store).await?, Some(next.id));
            at = due.plus(Duration::from_secs(1));
        }
        scene.succeeds(key, at).await?;

        let tries = scene.updates_of(key).await?.items;
        let tries: Vec<_> = tries.iter().map(|row| (row.update.progress.status, row.update.attempt.is_retried)).collect();
        let failed = (UpdateStatus::Failed, true);
        assert_eq!(tries, [(UpdateStatus::Completed, false), failed, failed]);
        let run = scene.look().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.completed, report.counts.failed, report.failures.len()), (1, 0, 0));
        assert_eq!((run.ending.open_forward, run.ending.to_look_at), (0, 1));
        assert_eq!(run.durations.count, 1);
        assert!(run.durations.p95 < MINUTE, "a try is timed from its own offer: {:?}", run.durations);
        let totals = store.totals(store.ours, key).await?;
        assert_eq!((totals.completed, totals.failed), (1, 0));
    }

    async fn the_last_failure_is_one(store) {
        let scene = admitted(store, 1, 1).await?;
        let key = scene.devices[0];
        scene.fails(key, "no", later(1)).await?;
        let due = scheduled_at(&scene).await?;
        store.expire(due, 10).await?;
        // Silence is a failure as well.
        assert_eq!(store.expire(due.plus(TIMEOUT), 10).await?.len(), 1);
        let last = scene.newest(key).await?.update;
        assert_eq!((last.progress.status, last.attempt.count), (UpdateStatus::TimedOut, 1));
        let run = scene.look().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.timed_out, report.counts.offered, report.failures.len()), (1, 0, 1));
        assert_eq!((run.ending.open_forward, run.ending.to_look_at), (0, 1));
        assert!(store.expire(later(1_000_000), 10).await?.is_empty());
    }

    async fn what_is_called_back_is_not_tried_again(store) {
        let scene = admitted(store, 3, 3).await?;
        let [waits, fails, goes_on] = scene.devices[..] else {
            anyhow::bail!("three devices");
        };
        scene.fails(waits, "no", later(1)).await?;
        let fence = scene.turn_back().await?;
        assert_eq!(store.call_back(scene.run, fence, 10, later(2)).await?.len(), 3);
        assert_eq!(scene.status_of(waits).await?, UpdateStatus::Cancelled, "at once: it was not offered");
        scene.fails(fails, "no", later(3)).await?;
        let no = Event::CancelFeedback(feedback(Execution::Rejected, Finished::None, "busy"));
        scene.happens(goes_on, no, later(3)).await??;
        scene.fails(goes_on, "no", later(4)).await?;
        let run = scene.look().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.cancelled, counts.failed, counts.in_flight()), (1, 2, 0));
        assert_eq!((run.ending.open_forward, run.ending.to_look_at), (0, 3), "the last tries alone");
        store.send_back(scene.run, fence, Scope::Everything, 10, &scene.offer(later(5))).await?;
        assert_eq!(scene.look().await?.ending.to_look_at, 0);
    }

    async fn a_try_that_is_due_while_its_campaign_is_cancelled_is_dropped(store) {
        let scene = admitted(store, 1, 3).await?;
        scene.fails(scene.devices[0], "no", later(1)).await?;
        goes(&scene, store, CampaignStatus::Cancelled).await?;
        store.expire(scheduled_at(&scene).await?, 10).await?;
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Cancelled);
        assert_eq!(scene.look().await?.ending.open_forward, 0);
    }

    async fn a_try_waits_while_its_campaign_is_paused(store) {
        let scene = admitted(store, 1, 3).await?;
        scene.fails(scene.devices[0], "no", later(1)).await?;
        goes(&scene, store, CampaignStatus::Paused).await?;
        let due = scheduled_at(&scene).await?;
        assert_eq!(store.expire(due, 10).await?.len(), 1, "it is looked at");
        assert!(store.expire(due.plus(MINUTE / 2), 10).await?.is_empty(), "and not at every turn");
        assert_eq!((scene.status_of(scene.devices[0]).await?, shown(store).await?), (UpdateStatus::Scheduled, None));
        assert_eq!(scheduled_at(&scene).await?, due);

        goes(&scene, store, CampaignStatus::InProgress).await?;
        assert_eq!(store.expire(due.plus(MINUTE), 10).await?.len(), 1);
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Offered);
        let offered = scene.newest(scene.devices[0]).await?.update;
        assert_eq!(offered.progress.timeout_at, due.plus(MINUTE).plus(TIMEOUT), "it has all of its time");
    }

    async fn a_pin_keeps_the_next_try_away(store) {
        let scene = admitted(store, 1, 3).await?;
        scene.fails(scene.devices[0], "no", later(1)).await?;
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        store.expire(scheduled_at(&scene).await?, 10).await?;
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Cancelled);
    }

    async fn the_way_back_is_tried_again_as_well(store) {
        let scene = admitted(store, 1, 1).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        let fence = scene.turn_back().await?;
        store.send_back(scene.run, fence, Scope::Everything, 10, &scene.offer(later(2))).await?;
        scene.fails(key, "no", later(3)).await?;
        let back = scene.newest(key).await?.update;
        assert_eq!(back.campaign, Some((scene.campaign(), Purpose::Return)));
        assert_eq!(back.progress.status, UpdateStatus::Scheduled);
        assert!(store.call_back(scene.run, fence, 10, later(4)).await?.is_empty(), "the way back is not called back");
        store.expire(scheduled_at(&scene).await?, 10).await?;
        scene.succeeds(key, later(200)).await?;
        let ending = scene.look().await?.ending;
        assert_eq!((ending.returned, ending.not_returned, ending.open_return), (1, 0, 0));
    }

    async fn who_agrees_beforehand_agrees_to_every_try(store) {
        let asks = Terms {
            confirmation: Some(Confirmation { on_denied: OnDenied::Reject, timeout: TIMEOUT }),
            ..terms(2)
        };
        let scene = Scene::on(store, &[2], Proof::Reported, asks).await?;
        scene.release(&[2]).await?;
        let yes = Event::ConfirmationFeedback(feedback(Execution::Confirmed, Finished::None, "go"));
        for key in &scene.devices {
            scene.happens(*key, yes.clone(), later(1)).await??;
            scene.fails(*key, "no", later(2)).await?;
        }
        let always = AutoConfirm { initiator: None, remark: None, activated_at: later(3) };
        store.activate_auto_confirm(store.ours, scene.devices[0], always).await?;
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Scheduled);
        store.expire(later(600), 10).await?;
        assert_eq!(scene.status_of(scene.devices[0]).await?, UpdateStatus::Offered);
        assert_eq!(scene.status_of(scene.devices[1]).await?, UpdateStatus::WaitingConfirmation);
        let no = Event::ConfirmationFeedback(feedback(Execution::Denied, Finished::None, "never"));
        scene.happens(scene.devices[1], no, later(601)).await??;
        assert_eq!(scene.status_of(scene.devices[1]).await?, UpdateStatus::Rejected, "and that is that");
    }

    async fn a_single_update_is_tried_again_and_stands_in_the_way_meanwhile(store) {
        let scene = Scene::set(store, &[1]).await?;
        let key = scene.devices[0];
        let offer = Offer { terms: terms(1), ..scene.offer(NOON) };
        let made = store.create_update(store.ours, key, &offer).await?;
        let tidegate_engine::ports::Made::Update(first, _) = made else {
            anyhow::bail!("{made:?}");
        };
        let failed = Event::Feedback(feedback(Execution::Closed, Finished::Failure, "no"));
        scene.report(key, first, failed, later(1)).await?;
        let again = store.create_update(store.ours, key, &offer).await?;
        assert!(matches!(again, tidegate_engine::ports::Made::AlreadyOpen(id) if id != first), "{again:?}");
        assert!(store.delete_device(store.ours, "d-0", later(2)).await?.is_some());
        assert!(store.expire(later(1000), 10).await?.is_empty());
    }
}
