use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use anyhow::Context as _;
use tidegate_core::{
    reporting_clock::ReportingClock,
    time::Timestamp,
    update::{SuccessCriteria, UpdateOptions, UpdateStatus},
};
use tidegate_engine::ports::{
    Beat, Clock, Clocks as _, DeviceChange, Devices as _, Interruption, LastSeenRecord, Runs as _,
};

use crate::{
    dialect::Dialect,
    test_fixture::{NOON, StoreFixture, later},
    testing::{TestStore, on_both},
};

const GRACE: Duration = Duration::from_mins(10);
const TWO_HOURS: i64 = 7200;

/// A campaign with one update, which has two minutes, in a database with a heartbeat.
async fn one_update(store: &TestStore) -> anyhow::Result<StoreFixture<'_>> {
    beat(store, 0, None).await?;
    without_heartbeat(store).await
}

async fn without_heartbeat(store: &TestStore) -> anyhow::Result<StoreFixture<'_>> {
    let options = UpdateOptions::forced(Duration::from_mins(2));
    let fixture =
        StoreFixture::with_options(store, &[1], SuccessCriteria::Reported, options).await?;
    fixture.release(&[1]).await?;
    Ok(fixture)
}

async fn beat(
    store: &TestStore,
    at: i64,
    interruption: Option<Interruption>,
) -> anyhow::Result<()> {
    let beat = Beat {
        interruption,
        grace: GRACE,
    };
    store.record_beat(&FixedClock(later(at)), beat).await?;
    Ok(())
}

struct FixedClock(Timestamp);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        self.0
    }
}

struct SharedClock(AtomicI64);

impl SharedClock {
    fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        later(self.0.load(Ordering::SeqCst))
    }
}

/// Its server waits for the row while another one records a heartbeat: that is no jump of the time.
#[tokio::test]
async fn a_heartbeat_that_waits_for_another_does_not_set_the_time_back() -> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    beat(&store, 0, None).await?;
    let clock = SharedClock(AtomicI64::new(10));
    let beat = Beat {
        interruption: None,
        grace: GRACE,
    };
    let mut tx = store.database.write().await?;
    sqlx::query("UPDATE reporting_clock SET beat_at = $1")
        .bind(later(25).0)
        .execute(tx.conn())
        .await?;
    let waiting = store.record_beat(&clock, beat);
    let other = async {
        store.wait_for_lock().await?;
        clock.set(50);
        tx.commit().await?;
        anyhow::Ok(())
    };
    let (recorded, other) = futures::join!(waiting, other);
    other?;
    let recorded = recorded?;
    let expected = ReportingClock {
        beat_at: Some(later(50)),
        ..ReportingClock::default()
    };
    assert_eq!((recorded.at, recorded.clock), (later(50), expected));
    Ok(())
}

/// Heartbeats in every ten seconds of this range.
async fn beats(store: &TestStore, from: i64, until: i64) -> anyhow::Result<()> {
    for at in (from..=until).step_by(10) {
        beat(store, at, None).await?;
    }
    Ok(())
}

async fn timeout_at(fixture: &StoreFixture<'_>) -> anyhow::Result<Timestamp> {
    let row = fixture.latest_update(fixture.devices[0]).await?;
    Ok(row.update.state.timeout_at)
}

/// Checks that the update, which had 100 seconds left when the clock stopped, times out 100 seconds after `runs_from`.
async fn check_timeout(
    store: &TestStore,
    fixture: &StoreFixture<'_>,
    back: i64,
) -> anyhow::Result<()> {
    assert!(store.expire_updates(later(back), 10).await?.is_empty());
    let runs_from = back + 600;
    beats(store, back + 10, runs_from).await?;
    assert_eq!(timeout_at(fixture).await?, later(runs_from + 100));
    assert!(store.expire_updates(later(runs_from), 10).await?.is_empty());
    beats(store, runs_from + 10, runs_from + 100).await?;
    assert!(
        store
            .expire_updates(later(runs_from + 99), 10)
            .await?
            .is_empty()
    );
    assert_eq!(
        store
            .expire_updates(later(runs_from + 100), 10)
            .await?
            .len(),
        1
    );
    assert_eq!(
        fixture.status_of(fixture.devices[0]).await?,
        UpdateStatus::TimedOut
    );
    let ended = timeout_at(fixture).await?;
    beat(store, runs_from + 10_000, None).await?;
    assert_eq!(
        timeout_at(fixture).await?,
        ended,
        "an ended update has no clock"
    );
    Ok(())
}

on_both! {
    async fn the_absence_of_the_server_is_not_the_silence_of_devices(store) {
        let fixture = one_update(store).await?;
        beats(store, 0, 20).await?;
        assert_eq!(timeout_at(&fixture).await?, later(120));
        let back = 20 + TWO_HOURS;
        beat(store, back, Some(Interruption::Start)).await?;
        check_timeout(store, &fixture, back).await?;
    }

    async fn a_gap_or_a_jump_is_not_the_silence_of_devices(store) {
        let fixture = one_update(store).await?;
        beats(store, 0, 20).await?;
        let back = 20 + TWO_HOURS;
        assert!(store.expire_updates(later(back), 10).await?.is_empty(), "before the heartbeat");
        beat(store, back, None).await?;
        check_timeout(store, &fixture, back).await?;
    }

    async fn a_time_that_is_set_back_costs_no_update_its_time(store) {
        let fixture = one_update(store).await?;
        beats(store, 0, 20).await?;
        let back = 20 - TWO_HOURS;
        beat(store, back, None).await?;
        check_timeout(store, &fixture, back).await?;
    }

    async fn a_time_in_which_reports_were_refused_is_not_the_silence_of_devices(store) {
        let fixture = one_update(store).await?;
        beats(store, 0, 20).await?;
        beat(store, 30, Some(Interruption::RefusedReports)).await?;
        check_timeout(store, &fixture, 30).await?;
    }

    async fn updates_that_begin_while_the_clock_stands_still_have_their_whole_time(store) {
        beats(store, -20, 0).await?;
        beat(store, 0, Some(Interruption::RefusedReports)).await?;
        let fixture = without_heartbeat(store).await?;
        beats(store, 10, 600).await?;
        assert_eq!(timeout_at(&fixture).await?, later(600 + 120));
    }

    async fn the_start_of_a_further_server_does_not_stop_the_clock(store) {
        beats(store, 0, 20).await?;
        beat(store, 25, Some(Interruption::Start)).await?;
        let runs = store.reporting_clock().await?.runs(later(25));
        // SQLite has one server.
        assert_eq!(runs, store.database.dialect() == Dialect::Postgres);
    }

    async fn the_start_of_a_single_server_stops_the_clock(store) {
        let fixture = one_update(store).await?;
        beats(store, 0, 20).await?;
        // Another server would have recorded a heartbeat by now.
        let back = 20 + 16;
        if store.database.dialect() == Dialect::Postgres {
            beat(store, 20 + 15, Some(Interruption::Start)).await?;
            let clock = store.reporting_clock().await?;
            assert_eq!(clock.beat_at, Some(later(20)), "another server may be late");
        }
        beat(store, back, Some(Interruption::Start)).await?;
        check_timeout(store, &fixture, back).await?;
    }

    async fn another_server_reads_the_clock_when_it_starts(store) {
        let fixture = one_update(store).await?;
        beats(store, 0, 20).await?;
        beat(store, 1000, None).await?;
        let other = store.another_server().await?;
        let update = fixture.latest_update(fixture.devices[0]).await?.update;
        let row = tidegate_engine::ports::Updates::update(&other, store.ours, update.id).await?;
        let state = row.context("the update")?.update.state;
        assert_eq!(state.timeout_at, later(120 + 980));
        assert_eq!(other.expire_updates(later(1001), 10).await?.len(), 0);
    }

    async fn an_upgrade_counts_from_when_devices_were_last_seen(store) {
        let fixture = without_heartbeat(store).await?;
        let seen = LastSeenRecord { tenant: store.ours, device: fixture.devices[0], at: later(20), address: None };
        store.record_last_seen(vec![seen]).await?;
        let back = 20 + TWO_HOURS;
        beat(store, back, Some(Interruption::Start)).await?;
        check_timeout(store, &fixture, back).await?;
    }

    async fn the_longest_polling_interval_of_the_devices_that_are_updated_is_known(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[3]).await?;
        assert_eq!(store.longest_interval_of_updated_devices().await?, None);
        for (device, minutes) in [("d-0", 1), ("d-1", 30), ("d-2", 90)] {
            let change = DeviceChange {
                polling_interval: Some(Some(Duration::from_mins(minutes))),
                ..DeviceChange::at(later(1))
            };
            store.change_device(fixture.tenant, device, change).await?;
        }
        for (ended, longest) in [(None, Some(90)), (Some(2), Some(30)), (Some(1), Some(1)), (Some(0), None)] {
            if let Some(device) = ended {
                fixture.report_success(fixture.devices[device], later(2)).await?;
            }
            let found = store.longest_interval_of_updated_devices().await?;
            assert_eq!(found, longest.map(Duration::from_mins));
        }
    }

    async fn retries_go_by_the_time_itself(store) {
        let fixture = one_update(store).await?;
        let at = NOON.plus(Duration::from_secs(20));
        let mut tx = store.database.write().await?;
        sqlx::query("UPDATE updates SET status = 'scheduled', timeout_at = $2 WHERE tenant_id = $1")
            .bind(store.ours.0)
            .bind(at.0)
            .execute(tx.conn())
            .await?;
        tx.commit().await?;
        beats(store, 0, 10).await?;
        beat(store, 20, Some(Interruption::RefusedReports)).await?;
        assert_eq!(timeout_at(&fixture).await?, at);
        assert_eq!(store.expire_updates(at, 10).await?.len(), 1, "offered, although the clock stands still");
        assert_eq!(fixture.status_of(fixture.devices[0]).await?, UpdateStatus::Offered);
    }
}
