use std::collections::BTreeSet;

use tidegate_core::{
    campaign::ROLLBACK_WEIGHT,
    device::DeviceState,
    feedback::{Execution, Finished},
    id::DeviceKey,
    mode::SkipReason,
    plugin::RollbackScope,
    time::Timestamp,
    update::{Purpose, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions, UpdateStatus},
};
use tidegate_engine::ports::{
    DeviceChange, Devices as _, Offer, OfferOverrides, OfferResult, Registry as _, Runs as _,
    SingleUpdates as _,
};

use crate::{
    tenant_counters::TenantCounters,
    test_fixture::{StoreFixture, TIMEOUT, feedback, firmware, later},
    testing::{TestStore, on_both},
    updates::unit_of_work::UpdateUnitOfWork,
};

fn rollback_offer(fixture: &StoreFixture<'_>) -> Offer {
    Offer {
        weight: ROLLBACK_WEIGHT,
        ..fixture.offer(later(100))
    }
}

/// Reports that all chunks are installed.
async fn report_all_installed(fixture: &StoreFixture<'_>, device: DeviceKey) -> anyhow::Result<()> {
    let mut report = feedback(
        Execution::Proceeding,
        Finished::None,
        "All Chunks Installed.",
    );
    report.progress = Some((4, 4));
    let recorded = fixture.record_event(device, UpdateEvent::Feedback(report), later(5));
    recorded.await??;
    Ok(())
}

/// The late success is recorded between the two statements of the rollback that read the update and lock its device.
#[tokio::test]
async fn an_update_that_a_late_success_opens_meanwhile_stays_in_the_backlog_for_later()
-> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    let fixture =
        StoreFixture::with_success_criteria(&store, &[1], SuccessCriteria::Attested).await?;
    fixture.release(&[1]).await?;
    let device = fixture.devices[0];
    assert_eq!(store.expire_updates(later(3600), 10).await?.len(), 1);
    let id = fixture.latest_update(device).await?.update.id;
    let fence = fixture.start_rollback().await?;

    let mut tx = store.database.write().await?;
    let (devices, updates) = (BTreeSet::from([device]), BTreeSet::from([id]));
    let mut work =
        UpdateUnitOfWork::open(&mut tx, store.ours, &devices, &updates, later(3610)).await?;
    let offer = rollback_offer(&fixture);
    let everything = RollbackScope::Everything;
    let rolling_back = store.create_rollback_updates(fixture.run, fence, everything, 10, &offer);
    let reporting = async {
        store.wait_for_lock().await?;
        let success = feedback(Execution::Closed, Finished::Success, "late");
        let mut counters = TenantCounters::default();
        let applied = work.apply_event(
            id,
            &UpdateEvent::LateSuccess(success),
            later(3610),
            &mut counters,
        );
        assert!(applied.is_ok_and(|changed| changed));
        work.write(&mut tx, &mut counters).await?;
        counters.write(&mut tx).await?;
        tx.commit().await?;
        anyhow::Ok(())
    };
    let (rolled_back, reported) = futures::join!(rolling_back, reporting);
    reported?;
    assert!(rolled_back?.affected.is_empty());
    let progress = fixture.read_run().await?.rollback_progress;
    assert_eq!((progress.open_updates, progress.rollback_pending), (1, 0));
    assert_eq!(fixture.status_of(device).await?, UpdateStatus::Verifying);

    fixture.report_version(device, "1.1.0", later(3620)).await?;
    let rolled_back = store.create_rollback_updates(fixture.run, fence, everything, 10, &offer);
    assert_eq!(
        rolled_back.await?.affected.len(),
        1,
        "it is rolled back now"
    );
    Ok(())
}

on_both! {
    async fn a_device_that_may_have_installed_is_not_done_with_its_acknowledgement(store) {
        let fixture = StoreFixture::new(store, &[5]).await?;
        fixture.release(&[5]).await?;
        let [new, old, silent, brought_back, downloading] = fixture.devices[..] else {
            anyhow::bail!("five devices");
        };
        for device in [new, old, silent, brought_back] {
            report_all_installed(&fixture, device).await?;
        }
        fixture.record_event(downloading, UpdateEvent::FetchBegun, later(5)).await??;
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(10)).await?;
        for device in fixture.devices.clone() {
            let answer = UpdateEvent::CancelFeedback(feedback(Execution::Canceled, Finished::Success, "stopped"));
            let recorded = fixture.record_event(device, answer, later(11)).await??;
            assert_eq!((recorded.view.open, recorded.view.wants_attributes), (None, device != downloading));
        }
        let roll_back = async |scope| {
            let offer = rollback_offer(&fixture);
            store.create_rollback_updates(fixture.run, fence, scope, 10, &offer).await
        };
        let in_flight = RollbackScope::InFlight;
        let awaited = async || {
            let run = fixture.read_run().await?;
            assert_eq!(run.campaign.awaiting_version, run.rollback_progress.awaiting_version);
            anyhow::Ok((run.rollback_progress.open_updates, run.rollback_progress.awaiting_version))
        };
        assert_eq!(awaited().await?, (4, 4));
        assert_eq!(roll_back(in_flight).await?.processed, 1, "the one that was downloading");

        // Five seconds later it boots the new version.
        fixture.report_version(new, "1.1.0", later(16)).await?;
        assert_eq!((fixture.status_of(new).await?, awaited().await?), (UpdateStatus::Completed, (3, 3)));
        fixture.report_version(old, "1.0.0", later(16)).await?;
        assert_eq!((fixture.status_of(old).await?, awaited().await?), (UpdateStatus::Cancelled, (2, 2)));
        let returned = roll_back(in_flight).await?;
        assert_eq!((returned.processed, returned.affected.len()), (2, 1));
        let back = fixture.latest_update(new).await?.update;
        assert_eq!((back.campaign, back.firmware), (Some((fixture.campaign(), Purpose::Rollback)), fixture.old));

        let offer = Offer { firmware: fixture.old, to_version: "1.0.0".into(), ..rollback_offer(&fixture) };
        let by_operator = store.create_updates(fixture.tenant, &[brought_back], &offer, true).await?;
        let [OfferResult::Created(id, _)] = by_operator[..] else {
            anyhow::bail!("{by_operator:?}");
        };
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.report(brought_back, id, done, later(20)).await?;
        assert_eq!((fixture.status_of(brought_back).await?, awaited().await?), (UpdateStatus::Cancelled, (1, 1)));

        let end = later(11).plus(TIMEOUT);
        assert_eq!(store.expire_updates(Timestamp(end.0 - 1), 10).await?.len(), 0);
        assert!(!store.expire_updates(end, 10).await?.is_empty());
        assert_eq!((fixture.status_of(silent).await?, awaited().await?), (UpdateStatus::Cancelled, (0, 0)));
        let returned = roll_back(in_flight).await?;
        assert_eq!((returned.processed, returned.affected.len()), (2, 0));
    }

    async fn a_rollback_reaches_devices_done_and_in_flight(store) {
        let fixture = StoreFixture::new(store, &[5]).await?;
        fixture.release(&[5]).await?;
        let [done, failed, installed_reported, in_flight, stubborn] = fixture.devices[..] else {
            anyhow::bail!("five devices");
        };
        fixture.report_success(done, later(1)).await?;
        fixture.report_failure(failed, "CHECKSUM_MISMATCH", later(1)).await?;
        fixture.report_failure(installed_reported, "lamp broke", later(1)).await?;
        fixture.report_version(installed_reported, "1.1.0", later(2)).await?;

        let fence = fixture.start_rollback().await?;
        let affected = store.cancel_updates(fixture.run, fence, 10, later(10)).await?;
        assert_eq!(affected.len(), 2);
        assert!(store.cancel_updates(fixture.run, fence, 10, later(10)).await?.is_empty(), "each is cancelled once");
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (3, 2));
        let again = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!(again.processed, 0);

        let back = fixture.latest_update(done).await?.update;
        assert_eq!(back.campaign, Some((fixture.campaign(), Purpose::Rollback)));
        assert_eq!((back.firmware, back.to_version.as_str(), back.weight), (fixture.old, "1.0.0", ROLLBACK_WEIGHT));
        assert_eq!((back.from_version.as_deref(), back.from_firmware), (Some("1.1.0"), Some(fixture.new)));
        assert_eq!(fixture.updates_of(failed).await?.total, 1, "it did not install the firmware");

        let answer = |execution| UpdateEvent::CancelFeedback(feedback(execution, Finished::None, "heard"));
        fixture.record_event(in_flight, answer(Execution::Canceled), later(11)).await??;
        fixture.record_event(stubborn, answer(Execution::Rejected), later(11)).await??;
        assert!(store.cancel_updates(fixture.run, fence, 10, later(12)).await?.is_empty(), "it rejected the cancellation");
        fixture.report_success(stubborn, later(12)).await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (2, 1));
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.open_updates, rollback_progress.rollback_pending, rollback_progress.open_rollbacks), (0, 0, 3));

        fixture.report_success(done, later(20)).await?;
        fixture.report_success(stubborn, later(20)).await?;
        fixture.report_failure(installed_reported, "no", later(20)).await?;
        let run = fixture.read_run().await?;
        assert_eq!((run.rollback_progress.rolled_back, run.rollback_progress.rollback_failed, run.rollback_progress.open_rollbacks), (2, 1, 0));
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.completed, counts.failed, counts.cancelled), (3, 1, 1), "waves count forward updates only");
        let device = store.device(store.ours, "d-0").await?.expect("the device");
        assert_eq!((device.state, device.sw_version.as_deref()), (DeviceState::InSync, Some("1.0.0")));
        assert_eq!(device.installed_firmware, Some(fixture.old));
    }

    async fn an_in_flight_rollback_keeps_completed_updates(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[2]).await?;
        fixture.report_success(fixture.devices[0], later(1)).await?;
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::InFlight, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (1, 0));
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Completed);
    }

    async fn a_rollback_to_unknown_firmware_is_impossible(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.report_version(fixture.devices[0], "0.9.0", later(0)).await?;
        fixture.release(&[2]).await?;
        for key in &fixture.devices {
            fixture.report_success(*key, later(1)).await?;
        }
        // A deleted firmware is not found by version.
        assert!(store.delete_firmware(store.ours, fixture.old, later(2)).await?);
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (2, 0));
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.rollback_impossible, rollback_progress.rollback_pending), (2, 0));
    }

    async fn a_rollback_ignores_firmware_of_another_product_or_model(store) {
        let fixture = StoreFixture::new(store, &[4]).await?;
        let [ours, of_another_model, silent, of_another_product] = fixture.devices[..] else {
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
            fixture.report_version(key, version, later(0)).await?;
            if let Some(model) = model {
                fixture.report_attribute(key, "hw_model", model, later(0)).await?;
            }
        }
        fixture.release(&[4]).await?;
        for key in &fixture.devices {
            fixture.report_success(*key, later(1)).await?;
        }
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (4, 1));
        assert_eq!(fixture.latest_update(ours).await?.update.firmware, for_a);
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.rollback_impossible, rollback_progress.rollback_pending, rollback_progress.open_rollbacks), (3, 0, 1));
    }

    async fn an_unverified_installation_is_rolled_back(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[4], SuccessCriteria::Attested).await?;
        let [unproven, rollback_impossible, moved_on, never_began] = fixture.devices[..] else {
            anyhow::bail!("four devices");
        };
        fixture.report_version(rollback_impossible, "0.9.0", later(0)).await?;
        fixture.release(&[4]).await?;
        for key in [unproven, rollback_impossible, moved_on] {
            fixture.report_success(key, later(1)).await?;
            assert_eq!(fixture.status_of(key).await?, UpdateStatus::Verifying);
        }
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(2)).await?;
        // The campaign does not roll back a later update.
        let other = store.create_firmware(store.ours, firmware("1.2.0")).await?;
        let offer = Offer { firmware: other, to_version: "1.2.0".into(), success_criteria: SuccessCriteria::Reported, ..rollback_offer(&fixture) };
        let OfferResult::Created(id, _) = store.create_update(store.ours, moved_on, &offer).await? else {
            anyhow::bail!("no offer was refused");
        };
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.report(moved_on, id, done, later(101)).await?;

        store.expire_updates(later(8000), 10).await?;
        assert_eq!(fixture.status_of(unproven).await?, UpdateStatus::TimedOut);
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (4, 1));
        let back = fixture.latest_update(unproven).await?.update;
        assert_eq!((back.firmware, back.campaign), (fixture.old, Some((fixture.campaign(), Purpose::Rollback))));
        assert_eq!(fixture.status_of(never_began).await?, UpdateStatus::Cancelled);
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.rollback_impossible, rollback_progress.rollback_pending, rollback_progress.open_rollbacks), (1, 0, 1));
    }

    async fn an_installation_in_an_earlier_attempt_is_rolled_back(store) {
        let options = UpdateOptions {
            retries: RetryPolicy { max_retries: 1, ..RetryPolicy::NONE },
            ..UpdateOptions::forced(TIMEOUT)
        };
        let fixture = StoreFixture::with_options(store, &[1], SuccessCriteria::Attested, options).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        store.expire_updates(later(3600), 10).await?;
        let again = fixture.latest_update(key).await?.update;
        assert_eq!((again.state.status, again.state.installed_reported), (UpdateStatus::Scheduled, true));
        let fence = fixture.start_rollback().await?;
        store.cancel_updates(fixture.run, fence, 10, later(3601)).await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::InFlight, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (1, 1));
        assert_eq!(fixture.latest_update(key).await?.update.firmware, fixture.old);
    }

    async fn pinned_devices_are_skipped_by_a_rollback(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[2]).await?;
        for key in &fixture.devices {
            fixture.report_success(*key, later(1)).await?;
        }
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (2, 1));
        assert_eq!(returned.affected[0].device_id, "d-1");
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.pinned, rollback_progress.rollback_impossible, rollback_progress.rollback_pending), (1, 0, 0));
        let why = store.skip_reason(store.ours, fixture.campaign(), fixture.devices[0]).await?;
        assert_eq!(why, Some(SkipReason::Pinned));
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Completed);
    }

    async fn a_device_already_rolling_back_gets_no_second_update(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[3]).await?;
        let [already_rolling_back, cancelled, lighter] = fixture.devices[..] else {
            anyhow::bail!("three devices");
        };
        for key in &fixture.devices {
            fixture.report_success(*key, later(1)).await?;
        }
        let back = Offer { firmware: fixture.old, to_version: "1.0.0".into(), ..rollback_offer(&fixture) };
        let light = Offer { weight: ROLLBACK_WEIGHT - 1, ..back.clone() };
        for (key, offer) in [(already_rolling_back, &back), (cancelled, &back), (lighter, &light)] {
            let (made, _) = store.roll_back_device(store.ours, key, offer, OfferOverrides::default(), "", false).await?;
            let OfferResult::Created(id, _) = made else {
                anyhow::bail!("no rollback update: {made:?}");
            };
            if key == cancelled {
                fixture.report(key, id, UpdateEvent::CancelRequested, later(2)).await?;
            }
        }
        // A pin does not stop an existing rollback update.
        let pin = DeviceChange { pinned: Some(true), ..DeviceChange::at(later(2)) };
        store.change_device(store.ours, "d-0", pin).await?;
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!(returned.processed, 3);
        let affected: Vec<_> = returned.affected.iter().map(|affected| affected.device).collect();
        assert_eq!(affected, [cancelled, lighter]);
        let rollback_progress = fixture.read_run().await?.rollback_progress;
        assert_eq!((rollback_progress.already_rolling_back, rollback_progress.open_rollbacks, rollback_progress.pinned, rollback_progress.rollback_pending), (1, 2, 0, 0));
    }

    async fn a_rollback_keeps_the_firmware_of_a_later_update(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        let mut tx = store.database.write().await?;
        sqlx::query("UPDATE devices SET installed_update_id = NULL WHERE tenant_id = $1")
            .bind(store.ours.0)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &rollback_offer(&fixture)).await?;
        assert_eq!((returned.processed, returned.affected.len()), (1, 0));
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_impossible, 0);
    }
}
