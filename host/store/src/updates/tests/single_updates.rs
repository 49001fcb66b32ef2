use tidegate_core::{
    campaign::ROLLBACK_WEIGHT,
    feedback::{Execution, Finished},
    id::{DeviceKey, FirmwareId},
    update::{SuccessCriteria, UpdateEvent},
};
use tidegate_engine::ports::{
    DeviceChange, Offer, OfferOverrides, OfferResult, SingleUpdates as _, StoreError, Updates as _,
};

use super::*;

on_both! {
    async fn an_update_without_a_campaign_has_the_same_states(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let key = fixture.devices[0];
        let offer = fixture.offer(NOON);
        let OfferResult::Created(id, affected) = store.create_update(fixture.tenant, key, &offer).await? else {
            anyhow::bail!("no obstacle");
        };
        assert_eq!((affected.device_id.as_str(), affected.campaign), ("d-0", None));
        assert_eq!(device(store, 0).await?.state, DeviceState::Pending);
        let view = store.poll_view(store.ours, "d-0").await?.context("a view")?;
        assert_eq!(view.open.map(|open| open.id), Some(id));

        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        let recorded = fixture.report(key, id, done, later(1)).await?;
        assert_eq!((recorded.changes_update, recorded.campaigns), (true, vec![]));
        let row = store.update(store.ours, id).await?.context("the update")?;
        assert_eq!(row.update.campaign, None);
        assert_eq!(row.update.state.status, UpdateStatus::Completed);
        assert_eq!(row.update.from_version.as_deref(), Some("1.0.0"));
        assert_eq!(device(store, 0).await?.installed_firmware, Some(fixture.new));
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 0, "it has no campaign");
    }

    async fn no_device_gets_the_same_firmware_twice(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        let offer = fixture.offer(NOON);
        let unknown = DeviceKey(987_654);
        let keys = [fixture.devices[1], unknown, fixture.devices[0], fixture.devices[1]];
        let made = store.create_updates(fixture.tenant, &keys, &offer, false).await?;
        let [OfferResult::Created(second, _), OfferResult::DeviceNotFound, OfferResult::Created(first, _), again] = &made[..] else {
            anyhow::bail!("{made:?}");
        };
        assert_ne!(first, second);
        assert!(matches!(again, OfferResult::Created(id, _) if id == second), "a repeated device gets one update");

        let again = store.create_update(fixture.tenant, fixture.devices[0], &offer).await?;
        assert_eq!(again, OfferResult::AlreadyOpen(*first));
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.report(fixture.devices[0], *first, done, later(1)).await?;
        let again = store.create_update(fixture.tenant, fixture.devices[0], &offer).await?;
        assert_eq!(again, OfferResult::AlreadyInstalled);
        let forced = store.create_updates(fixture.tenant, &[fixture.devices[0]], &offer, true).await?;
        assert!(matches!(forced[0], OfferResult::Created(..)), "{forced:?}");

        assert_eq!(store.create_update(store.theirs, fixture.devices[2], &offer).await.ok(), None);
    }

    async fn a_deleted_firmware_is_not_offered(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let gone = store.create_firmware(fixture.tenant, crate::test_fixture::firmware("9.9.9")).await?;
        assert!(store.delete_firmware(fixture.tenant, gone, NOON).await?);
        for firmware in [gone, FirmwareId(987_654)] {
            let offer = tidegate_engine::ports::Offer { firmware, ..fixture.offer(NOON) };
            let refused = store.create_update(fixture.tenant, fixture.devices[0], &offer).await;
            assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        }
        assert_eq!(device(store, 0).await?.state, DeviceState::Registered);
    }

    async fn rolling_back_a_device_cancels_its_open_updates(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[2], SuccessCriteria::Attested).await?;
        fixture.release(&[2]).await?;
        let [busy, unproven] = fixture.devices[..] else {
            anyhow::bail!("two devices");
        };
        let took_it_up = UpdateEvent::Feedback(feedback(Execution::Proceeding, Finished::None, "at it"));
        fixture.record_event(busy, took_it_up, later(1)).await??;
        fixture.report_success(unproven, later(1)).await?;
        let back = Offer {
            firmware: fixture.old,
            to_version: "1.0.0".into(),
            weight: ROLLBACK_WEIGHT,
            success_criteria: SuccessCriteria::Reported,
            ..fixture.offer(later(2))
        };
        let none = OfferOverrides::default();
        for (key, status) in [(busy, UpdateStatus::Cancelling), (unproven, UpdateStatus::Cancelled)] {
            let open = fixture.latest_update(key).await?.update.id;
            // A refused rollback cancels nothing.
            let same = Offer { firmware: fixture.new, ..back.clone() };
            let refused = store.roll_back_device(store.ours, key, &same, none, "", false).await?;
            assert_eq!(refused, (OfferResult::AlreadyOpen(open), vec![]));

            let (made, cancelled) = store.roll_back_device(store.ours, key, &back, none, "", false).await?;
            assert_eq!(cancelled, [(open, Some(fixture.campaign()))]);
            assert_eq!(fixture.status_of(key).await?, status);
            let OfferResult::Created(id, affected) = made else {
                anyhow::bail!("no obstacle");
            };
            let view = store.poll_view(store.ours, &affected.device_id).await?.context("a view")?;
            assert_eq!(view.open.map(|open| open.id), Some(id), "it is visible");
            let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "back"));
            let recorded = fixture.report(key, id, done, later(3)).await?;
            let next = recorded.view.open.map(|open| (open.id, open.status));
            let next_is = (status == UpdateStatus::Cancelling).then_some((open, status));
            assert_eq!(next, next_is, "it stays cancelled");
        }
        let counts = fixture.read_run().await?.waves[0].report.counts;
        assert_eq!((counts.cancelled, counts.in_progress), (1, 1));
    }

    async fn the_pin_and_the_installed_firmware_are_overridden_separately(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let key = fixture.devices[0];
        let offer = fixture.offer(NOON);
        let none = OfferOverrides::default();
        let (OfferResult::Created(id, _), _) = store.roll_back_device(store.ours, key, &offer, none, "", false).await? else {
            anyhow::bail!("no obstacle");
        };
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.report(key, id, done, later(1)).await?;
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        for (pin, installed, expected) in [
            (false, false, Some(OfferResult::Pinned)),
            (false, true, Some(OfferResult::Pinned)),
            (true, false, Some(OfferResult::AlreadyInstalled)),
            (true, true, None),
        ] {
            let (made, _) = store.roll_back_device(store.ours, key, &offer, OfferOverrides { ignore_pin: pin, ignore_installed: installed }, "", false).await?;
            match expected {
                Some(expected) => assert_eq!(made, expected),
                None => assert!(matches!(made, OfferResult::Created(..)), "{made:?}"),
            }
        }
        let (made, _) = store.roll_back_device(store.theirs, key, &offer, none, "", false).await.unwrap_or((OfferResult::DeviceNotFound, vec![]));
        assert_eq!(made, OfferResult::DeviceNotFound);
    }
}
