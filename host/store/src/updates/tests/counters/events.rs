//! Events of updates, in random order.

use std::time::Duration;

use tidegate_core::{
    feedback::{Execution, Finished},
    plugin::RollbackScope,
    update::{Purpose, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::ports::{CheckOutcome, CheckedUpdates, Offer, Runs as _, UpdateCheck};

use super::{super::upgrade_path::intermediate, *};
use crate::test_fixture::TIMEOUT;

fn event(random: &mut RandomSource) -> UpdateEvent {
    use Execution as E;
    use Finished as F;
    let message = ["a", "b", "CHECKSUM_MISMATCH", "INSUFFICIENT_SPACE"][random.below(4)];
    let of = |execution, finished| feedback(execution, finished, message);
    match random.below(10) {
        0 | 1 => UpdateEvent::Retrieved,
        2 => UpdateEvent::Feedback(of(E::Download, F::None)),
        3 => UpdateEvent::Feedback(of(E::Proceeding, F::None)),
        4 => UpdateEvent::Feedback(of(E::Closed, F::Success)),
        5 => UpdateEvent::Feedback(of(E::Closed, F::Failure)),
        6 => UpdateEvent::CancelRequested,
        7 => UpdateEvent::CancelFeedback(of(E::Rejected, F::None)),
        8 => UpdateEvent::CancelFeedback(of(E::Closed, F::Success)),
        _ => UpdateEvent::Feedback(of(E::Rejected, F::None)),
    }
}

/// A burst of events, many of which are refused.
async fn report_events(
    fixture: &StoreFixture<'_>,
    random: &mut RandomSource,
    at: i64,
) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for _ in 0..40 {
        let key = fixture.devices[random.below(fixture.devices.len())];
        let mut updates = fixture.updates_of(key).await?.items;
        if updates.is_empty() {
            continue;
        }
        // Mostly the newest one; a success of an earlier attempt may arrive late.
        let index = random.below(4).saturating_sub(2).min(updates.len() - 1);
        let row = updates.swap_remove(index);
        reports.push(fixture.report(key, row.update.id, event(random), later(at)));
    }
    let versions = (0..4).map(|_| {
        let key = fixture.devices[random.below(fixture.devices.len())];
        // The third one is that of the step before, if there is one.
        let versions = 2 + usize::from(fixture.first.is_some());
        let version = ["1.0.0", "1.1.0", "1.0.5"][random.below(versions)];
        fixture.report_version(key, version, later(at))
    });
    let versions: Vec<_> = versions.collect();
    let (events, versions) = futures::join!(
        futures::future::join_all(reports),
        futures::future::join_all(versions)
    );
    for result in events.into_iter().chain(versions) {
        if let Err(RecordError::Store(error)) = result {
            return Err(error.into());
        }
    }
    Ok(())
}

/// Lets policies decide on all changed devices: those on 1.0.0 need the step before.
async fn decide(fixture: &StoreFixture<'_>, at: i64) -> anyhow::Result<()> {
    let Some(first) = &fixture.first else {
        return Ok(());
    };
    let store = fixture.store();
    let mut checks = Vec::new();
    for due in store.updates_to_check(later(at), 500).await? {
        let device = store.device(fixture.tenant, &due.device_id).await?;
        let class = device.context("a device")?.class(&[]);
        let is_old = class.version.as_deref() == Some("1.0.0");
        let outcome = if is_old {
            CheckOutcome::Needs(first.clone())
        } else {
            CheckOutcome::Accepted
        };
        checks.push(UpdateCheck {
            update: due.update,
            device: due.device,
            class,
            outcome,
        });
    }
    let checked = CheckedUpdates {
        tenant: fixture.tenant,
        campaign: Some(fixture.campaign()),
        attributes: Vec::new(),
        checks,
        journal: Vec::new(),
    };
    store.record_checks(&checked, later(at)).await?;
    check_counters(store).await
}

/// The first device with an open rollback update completes it.
async fn complete_one_rollback(fixture: &StoreFixture<'_>, at: i64) -> anyhow::Result<()> {
    for key in &fixture.devices {
        let latest_update = fixture.updates_of(*key).await?.items.into_iter().next();
        let is_on_its_way = latest_update.is_some_and(|row| {
            let purpose = row.update.campaign.map(|(_, purpose)| purpose);
            let status = row.update.state.status;
            purpose == Some(Purpose::Rollback)
                && status.is_open()
                && status != UpdateStatus::Scheduled
        });
        if is_on_its_way {
            return fixture.report_success(*key, later(at)).await;
        }
    }
    Ok(())
}

/// `is_stepped`: the devices need an intermediate version first.
async fn check_random_events(
    store: &TestStore,
    retries: RetryPolicy,
    is_stepped: bool,
) -> anyhow::Result<()> {
    let options = UpdateOptions {
        retries,
        ..UpdateOptions::forced(TIMEOUT)
    };
    let criteria = if is_stepped {
        SuccessCriteria::Reported
    } else {
        SuccessCriteria::Attested
    };
    let mut fixture = StoreFixture::with_options(store, &[10, 20], criteria, options).await?;
    if is_stepped {
        fixture.first = Some(intermediate(store, "1.0.5").await?);
    }
    check_counters(store).await?;
    let mut random = RandomSource(0x5EED_0F7E_57ED);
    for round in 0..6_u64 {
        let levels = [10, round * 4];
        futures::try_join!(
            fixture.release(&levels),
            report_events(&fixture, &mut random, 10 + round as i64),
        )?;
        check_counters(store).await?;
        decide(&fixture, 80 + round as i64).await?;
        // Due retries are offered.
        store.expire_updates(later(80 + round as i64), 5).await?;
    }
    // Some updates time out while others report; then the rollback starts.
    decide(&fixture, 3600).await?;
    let silent = async { anyhow::Ok(store.expire_updates(later(3600), 5).await?) };
    futures::try_join!(silent, report_events(&fixture, &mut random, 3600))?;
    check_counters(store).await?;
    let fence = fixture.start_rollback().await?;
    let offer = Offer {
        success_criteria: SuccessCriteria::Reported,
        ..fixture.offer(later(3602))
    };
    let everything = RollbackScope::Everything;
    for round in 0..8 {
        let back = async {
            while !store
                .cancel_updates(fixture.run, fence, 7, later(3601))
                .await?
                .is_empty()
            {}
            while store
                .create_rollback_updates(fixture.run, fence, everything, 7, &offer)
                .await?
                .processed
                > 0
            {}
            anyhow::Ok(())
        };
        futures::try_join!(back, report_events(&fixture, &mut random, 3610 + round))?;
        complete_one_rollback(&fixture, 3610 + round).await?;
        check_counters(store).await?;
    }
    for round in 1..9 {
        store.expire_updates(later(round * 100_000), 500).await?;
        store
            .create_rollback_updates(fixture.run, fence, everything, 500, &offer)
            .await?;
        check_counters(store).await?;
    }
    let rollback_progress = fixture.read_run().await?.rollback_progress;
    assert_eq!(
        (
            rollback_progress.open_updates,
            rollback_progress.rollback_pending,
            rollback_progress.open_rollbacks
        ),
        (0, 0, 0)
    );
    assert!(
        rollback_progress.rolled_back > 0 && rollback_progress.rollback_failed > 0,
        "{rollback_progress:?}"
    );
    Ok(())
}

on_both! {
    async fn stored_counters_equal_a_recount(store) {
        check_random_events(store, RetryPolicy::NONE, false).await?;
    }

    async fn stored_counters_equal_a_recount_with_retries(store) {
        let retries = RetryPolicy { max_retries: 2, delay: Duration::from_mins(1) };
        check_random_events(store, retries, false).await?;
        let retries = "SELECT 'retries', COUNT(*) FROM updates WHERE tenant_id = $1 AND is_retried = 1";
        assert!(numbers(store, "all", retries).await?["all retries"] > 10);
    }

    async fn stored_counters_equal_a_recount_with_intermediate_versions(store) {
        let retries = RetryPolicy { max_retries: 1, delay: Duration::from_mins(1) };
        check_random_events(store, retries, true).await?;
        let steps = "SELECT 'steps', COUNT(*) FROM updates WHERE tenant_id = $1 AND is_retried = 1 AND status = 'completed'";
        assert!(numbers(store, "all", steps).await?["all steps"] > 3);
    }
}
