use anyhow::Context as _;
use tidegate_core::{
    device::DeviceState,
    feedback::{Execution, Finished},
    id::UpdateId,
    time::Timestamp,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{
    Devices as _, Offer, OfferResult, Runs as _, SingleUpdates as _, Updates as _,
};

use crate::{
    test_fixture::{NOON, StoreFixture, TIMEOUT, feedback, later},
    testing::{TestStore, on_both},
};

/// Creates a single update of the fixture's first device that precedes those of the campaign.
async fn create_emergency(
    store: &TestStore,
    fixture: &StoreFixture<'_>,
    at: Timestamp,
) -> anyhow::Result<UpdateId> {
    let offer = Offer {
        firmware: fixture.old,
        to_version: "1.0.0".into(),
        weight: 1000,
        ..fixture.offer(at)
    };
    let created = store.create_update(fixture.tenant, fixture.devices[0], &offer);
    match created.await? {
        OfferResult::Created(id, _) => Ok(id),
        obstacle => anyhow::bail!("{obstacle:?}"),
    }
}

/// When the update times out; none while it waits behind another one.
async fn deadline(store: &TestStore, id: UpdateId) -> anyhow::Result<Option<Timestamp>> {
    let row = store.update(store.ours, id).await?.context("the update")?;
    let state = row.update.state;
    Ok(state.waits_since.is_none().then_some(state.timeout_at))
}

on_both! {
    async fn an_update_without_reports_times_out(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[3]).await?;
        fixture.report_success(fixture.devices[0], later(1)).await?;
        let end = NOON.plus(TIMEOUT);
        assert!(store.expire_updates(later(3599), 10).await?.is_empty());
        let affected = store.expire_updates(end, 1).await?;
        assert_eq!(affected.len(), 1);
        assert_eq!(affected[0].campaign, Some(fixture.campaign()));
        assert_eq!((affected[0].tenant, affected[0].device_id.as_str()), (store.ours, "d-1"));
        assert_eq!(store.expire_updates(end, 10).await?.len(), 1);
        assert!(store.expire_updates(end, 10).await?.is_empty());

        let run = fixture.read_run().await?;
        let report = &run.waves[0].report;
        assert_eq!((report.counts.timed_out, report.counts.completed), (2, 1));
        assert_eq!((report.failures[0].code.as_str(), report.failures[0].devices), ("TIMEOUT", 2));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 3));
        assert_eq!(fixture.status_of(fixture.devices[1]).await?, UpdateStatus::TimedOut);
        let silent = store.device(store.ours, "d-1").await?.expect("the device");
        assert_eq!((silent.state, silent.sw_version.as_deref()), (DeviceState::Error, Some("1.0.0")));
        assert_eq!(store.due(end, 10).await?, [fixture.run]);
    }

    async fn an_update_behind_another_one_keeps_its_time(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[2]).await?;
        let (first, second) = (fixture.devices[0], fixture.devices[1]);
        let waiting = fixture.latest_update(first).await?.update.id;
        assert_eq!(deadline(store, waiting).await?, Some(NOON.plus(TIMEOUT)));
        let emergency = create_emergency(store, &fixture, later(600)).await?;
        assert_eq!(deadline(store, waiting).await?, None);

        let end = NOON.plus(TIMEOUT);
        let ended = store.expire_updates(end, 10).await?;
        assert_eq!(ended.iter().map(|device| device.device).collect::<Vec<_>>(), [second], "only the one that is shown");
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.timed_out, 1);
        // The emergency times out; only then does the clock of the other one run.
        assert_eq!(store.expire_updates(later(4200), 10).await?.len(), 1);
        let row = store.update(store.ours, emergency).await?.context("the emergency")?;
        assert_eq!(row.update.state.status, UpdateStatus::TimedOut);
        assert_eq!(deadline(store, waiting).await?, Some(later(4200 + 3000)), "it had 3000 s left");
        assert!(store.expire_updates(later(7199), 10).await?.is_empty());
        assert_eq!(store.expire_updates(later(7200), 10).await?.len(), 1);
        assert_eq!(fixture.status_of(first).await?, UpdateStatus::TimedOut);
    }

    async fn an_update_that_is_created_behind_another_one_has_its_whole_time(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let emergency = create_emergency(store, &fixture, later(-60)).await?;
        fixture.release(&[1]).await?;
        let waiting = fixture.latest_update(fixture.devices[0]).await?.update.id;
        assert_eq!(deadline(store, waiting).await?, None);
        let failed = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Failure, "no"));
        fixture.report(fixture.devices[0], emergency, failed, later(3000)).await?;
        assert_eq!(deadline(store, waiting).await?, Some(later(3000).plus(TIMEOUT)));
        let view = store.poll_view(store.ours, "d-0").await?.context("a view")?;
        assert_eq!(view.open.map(|open| open.id), Some(waiting), "its clock runs from its first poll on");
    }

    async fn an_update_behind_an_unanswered_cancellation_keeps_its_time(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.record_event(key, UpdateEvent::CancelRequested, later(60)).await??;
        let offer = Offer { firmware: fixture.old, to_version: "1.0.0".into(), ..fixture.offer(later(120)) };
        let created = store.create_update(fixture.tenant, key, &offer).await?;
        let OfferResult::Created(waiting, _) = created else {
            anyhow::bail!("{created:?}");
        };
        // The cancellation is given up after the timeout of its update.
        assert!(store.expire_updates(later(3599), 10).await?.is_empty());
        assert_eq!(store.expire_updates(later(3600), 10).await?.len(), 1);
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Cancelled);
        assert_eq!(deadline(store, waiting).await?, Some(later(3600).plus(TIMEOUT)));
    }
}
