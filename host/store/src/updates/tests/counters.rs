//! Compares the stored counters with a recount.

use std::{collections::BTreeMap, time::Duration};

use sqlx::Row as _;
use tidegate_core::{
    feedback::{Execution, Finished},
    plugin::RollbackScope,
    update::{Purpose, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::ports::{Offer, Runs as _};

use super::*;
use crate::test_fixture::TIMEOUT;

/// A deterministic pseudo-random generator.
struct RandomSource(u64);

impl RandomSource {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

type Counts = BTreeMap<String, i64>;

/// Rows of a name and a number, without zeros.
async fn numbers(store: &TestStore, what: &str, sql: &str) -> anyhow::Result<Counts> {
    let mut tx = store.database.read_single().await?;
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(store.ours.0)
        .fetch_all(tx.conn())
        .await?;
    let mut counts = Counts::new();
    for row in rows {
        let n: i64 = row.try_get(1)?;
        if n != 0 {
            counts.insert(format!("{what} {}", row.try_get::<String, _>(0)?), n);
        }
    }
    Ok(counts)
}

const BUCKET: &str = "CASE WHEN status IN ('downloading', 'installing', 'verifying', 'cancelling') \
    THEN 'in_progress' WHEN status = 'scheduled' THEN 'offered' ELSE status END";

/// Checks that every stored counter equals a recount. Of the attempts of an update only the last one counts.
async fn adds_up(store: &TestStore) -> anyhow::Result<()> {
    let forward = "FROM updates WHERE tenant_id = $1 AND purpose = 'forward' AND is_retried = 0";
    let back = "FROM updates WHERE tenant_id = $1 AND purpose = 'rollback' AND is_retried = 0";
    let mut pairs = vec![(
        "admitted".to_owned(),
        "SELECT name, admitted FROM waves WHERE tenant_id = $1".to_owned(),
        format!("SELECT 'wave ' || wave, COUNT(*) {forward} GROUP BY wave"),
    )];
    for bucket in [
        "offered",
        "in_progress",
        "completed",
        "failed",
        "timed_out",
        "cancelled",
    ] {
        pairs.push((
            bucket.to_owned(),
            format!("SELECT name, {bucket} FROM waves WHERE tenant_id = $1"),
            format!(
                "SELECT 'wave ' || wave, COUNT(*) {forward} AND {BUCKET} = '{bucket}' GROUP BY wave"
            ),
        ));
    }
    for (counter, counted) in [
        (
            "open_updates",
            format!("{forward} AND completed_at IS NULL"),
        ),
        (
            "scheduled_retries",
            format!("{forward} AND status = 'scheduled'"),
        ),
        (
            "rollback_pending",
            format!("{forward} AND completed_at IS NOT NULL AND rollback_processed_at IS NULL"),
        ),
        (
            "pinned",
            format!("{forward} AND rollback_action = 'pinned'"),
        ),
        (
            "rollback_impossible",
            format!("{forward} AND rollback_action = 'impossible'"),
        ),
        (
            "already_rolling_back",
            format!("{forward} AND rollback_action = 'already_rolling_back'"),
        ),
        ("open_rollbacks", format!("{back} AND completed_at IS NULL")),
        ("rolled_back", format!("{back} AND status = 'completed'")),
        (
            "rollback_failed",
            format!("{back} AND status IN ('failed', 'timed_out', 'cancelled')"),
        ),
    ] {
        pairs.push((
            counter.to_owned(),
            format!("SELECT 'of all', {counter} FROM campaign_counters WHERE tenant_id = $1"),
            format!("SELECT 'of all', COUNT(*) {counted}"),
        ));
    }
    pairs.push((
        "durations".to_owned(),
        "SELECT 'of all', CAST(COALESCE(SUM(updates), 0) AS BIGINT) FROM campaign_durations WHERE tenant_id = $1"
            .to_owned(),
        format!("SELECT 'of all', COUNT(*) {forward} AND completed_at IS NOT NULL"),
    ));
    pairs.push((
        "failures".to_owned(),
        "SELECT code, CAST(SUM(devices) AS BIGINT) FROM wave_failures WHERE tenant_id = $1 GROUP BY code".to_owned(),
        format!("SELECT error_code, COUNT(*) {forward} AND error_code IS NOT NULL GROUP BY error_code"),
    ));
    for (kind, table, key) in [
        ("updates_by_status", "updates", "status"),
        ("devices_by_state", "devices", "state"),
        ("devices_by_version", "devices", "COALESCE(sw_version, '')"),
        ("devices_by_model", "devices", "COALESCE(hw_model, '')"),
        ("campaigns_by_status", "campaign_runs", "status"),
    ] {
        pairs.push((
            kind.to_owned(),
            format!("SELECT counter_key, value FROM tenant_counters WHERE tenant_id = $1 AND kind = '{kind}'"),
            format!("SELECT {key}, COUNT(*) FROM {table} WHERE tenant_id = $1 GROUP BY {key}"),
        ));
    }
    for (kind, statuses) in [
        ("completed_in_hour", "'completed'"),
        ("failed_in_hour", "'failed', 'timed_out'"),
    ] {
        pairs.push((
            kind.to_owned(),
            format!("SELECT kind, CAST(SUM(value) AS BIGINT) FROM tenant_counters WHERE tenant_id = $1 AND kind = '{kind}' GROUP BY kind"),
            format!("SELECT '{kind}', COUNT(*) FROM updates WHERE tenant_id = $1 AND status IN ({statuses}) AND is_retried = 0"),
        ));
    }
    let (mut stored, mut counted) = (Counts::new(), Counts::new());
    for (what, read, recount) in pairs {
        stored.extend(numbers(store, &what, &read).await?);
        counted.extend(numbers(store, &what, &recount).await?);
    }
    assert_eq!(stored, counted);

    let wrong_states = "SELECT device_id, 1 FROM devices d WHERE d.tenant_id = $1 AND (d.state = 'pending') <> EXISTS \
        (SELECT 1 FROM updates u WHERE u.tenant_id = d.tenant_id AND u.device_key = d.id AND u.completed_at IS NULL)";
    // PostgreSQL needs the cast.
    let wrong_states =
        wrong_states.replace("device_id, 1 FROM", "device_id, CAST(1 AS BIGINT) FROM");
    assert_eq!(
        numbers(store, "wrong_states", &wrong_states).await?,
        Counts::new()
    );
    Ok(())
}

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
async fn storm(
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
        let version = ["1.0.0", "1.1.0"][random.below(2)];
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

async fn weathers_a_storm(store: &TestStore, retries: RetryPolicy) -> anyhow::Result<()> {
    let options = UpdateOptions {
        retries,
        ..UpdateOptions::forced(TIMEOUT)
    };
    let fixture =
        StoreFixture::with_options(store, &[10, 20], SuccessCriteria::Attested, options).await?;
    adds_up(store).await?;
    let mut random = RandomSource(0x5EED_0F7E_57ED);
    for round in 0..6_u64 {
        let levels = [10, round * 4];
        futures::try_join!(
            fixture.release(&levels),
            storm(&fixture, &mut random, 10 + round as i64),
        )?;
        adds_up(store).await?;
        // Due retries are offered.
        store.expire_updates(later(80 + round as i64), 5).await?;
    }
    // Some updates time out while others report; then the rollback starts.
    let silent = async { anyhow::Ok(store.expire_updates(later(3600), 5).await?) };
    futures::try_join!(silent, storm(&fixture, &mut random, 3600))?;
    adds_up(store).await?;
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
        futures::try_join!(back, storm(&fixture, &mut random, 3610 + round))?;
        complete_one_rollback(&fixture, 3610 + round).await?;
        adds_up(store).await?;
    }
    for round in 1..9 {
        store.expire_updates(later(round * 100_000), 500).await?;
        store
            .create_rollback_updates(fixture.run, fence, everything, 500, &offer)
            .await?;
        adds_up(store).await?;
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
        weathers_a_storm(store, RetryPolicy::NONE).await?;
    }

    async fn stored_counters_equal_a_recount_with_retries(store) {
        let retries = RetryPolicy { max_retries: 2, delay: Duration::from_mins(1) };
        weathers_a_storm(store, retries).await?;
        let retries = "SELECT 'retries', COUNT(*) FROM updates WHERE tenant_id = $1 AND is_retried = 1";
        assert!(numbers(store, "all", retries).await?["all retries"] > 10);
    }
}
