//! Compares the stored counters with a recount.

use std::{collections::BTreeMap, time::Duration};

use sqlx::Row as _;
use tidegate_core::{
    device::{AttributeMode, AttributeNames},
    feedback::{Execution, Finished},
    plugin::RollbackScope,
    update::{Purpose, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions},
};
use tidegate_engine::ports::{
    DeviceReport, NewDevice, Offer, ReportedAttributes, Runs as _, Statistics as _, Updates as _,
};

use super::*;
use crate::{SqlStore, rows::to_json, test_fixture::TIMEOUT};

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

/// The beginning of values that no device has, see [`seed`].
const SEED: &str = "seed-";

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
        ("campaigns_by_status", "campaign_runs", "status"),
    ] {
        pairs.push((
            kind.to_owned(),
            format!("SELECT counter_key, value FROM tenant_counters WHERE tenant_id = $1 AND kind = '{kind}'"),
            format!("SELECT {key}, COUNT(*) FROM {table} WHERE tenant_id = $1 GROUP BY {key}"),
        ));
    }
    for (kind, other, key) in [
        (
            "version",
            "other_version",
            "COALESCE(counted_version, sw_version, '')",
        ),
        ("model", "other_model", "COALESCE(hw_model, '')"),
    ] {
        let counters =
            format!("FROM tenant_counters WHERE tenant_id = $1 AND kind = 'devices_by_{kind}'");
        pairs.push((
            format!("devices_by_{kind}"),
            format!("SELECT counter_key, value {counters} AND counter_key NOT LIKE '{SEED}%'"),
            format!("SELECT {key}, COUNT(*) FROM devices WHERE tenant_id = $1 AND {other} = 0 GROUP BY {key}"),
        ));
        pairs.push((
            format!("devices_of_{other}"),
            format!("SELECT '', value FROM tenant_counters WHERE tenant_id = $1 AND kind = 'devices_of_{other}'"),
            format!("SELECT '', COUNT(*) FROM devices WHERE tenant_id = $1 AND {other} = 1"),
        ));
        pairs.push((
            format!("distinct_{kind}s"),
            format!("SELECT '', value FROM tenant_counters WHERE tenant_id = $1 AND kind = 'distinct_{kind}s'"),
            format!("SELECT '', COUNT(*) {counters} AND counter_key <> ''"),
        ));
        pairs.push((
            format!("{kind}s at zero"),
            format!("SELECT '', COUNT(*) {counters} AND value <= 0"),
            "SELECT '', COUNT(*) FROM devices WHERE tenant_id = $1 AND 1 = 0".to_owned(),
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

/// Adds counters by version and by model, so that the tenant has this many.
async fn seed(store: &TestStore, distinct: usize) -> anyhow::Result<()> {
    let mut tx = store.database.write().await?;
    for kind in ["version", "model"] {
        let known = format!(
            "SELECT '', COUNT(*) FROM tenant_counters WHERE tenant_id = $1 \
             AND kind = 'devices_by_{kind}' AND counter_key <> ''"
        );
        let known = numbers(store, "known", &known).await?;
        let known = known.values().sum::<i64>() as usize;
        let values: Vec<_> = (known..distinct).map(|n| format!("{SEED}{n}")).collect();
        let values = to_json(&values)?;
        let seeds = format!(
            "INSERT INTO tenant_counters (tenant_id, kind, counter_key, value) \
             SELECT CAST($1 AS BIGINT), 'devices_by_{kind}', value, 1 FROM {}",
            tx.dialect().json_texts("$2")
        );
        sqlx::query(sqlx::AssertSqlSafe(seeds))
            .bind(store.ours.0)
            .bind(values)
            .execute(tx.conn())
            .await?;
        let number = format!(
            "INSERT INTO tenant_counters (tenant_id, kind, counter_key, value) \
             VALUES ($1, 'distinct_{kind}s', '', $2) \
             ON CONFLICT (tenant_id, kind, counter_key) DO UPDATE SET value = excluded.value"
        );
        sqlx::query(sqlx::AssertSqlSafe(number))
            .bind(store.ours.0)
            .bind(i64::try_from(distinct)?)
            .execute(tx.conn())
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Devices change their versions and models, on two servers, and some are deleted and registered again.
async fn change_values(
    store: &TestStore,
    other: &SqlStore,
    random: &mut RandomSource,
    at: i64,
) -> anyhow::Result<()> {
    let mut keys = Vec::new();
    for number in 0..12 {
        let view = store
            .register(store.ours, &format!("v-{number}"), later(at))
            .await?;
        keys.push(view.device);
    }
    let mut reports = Vec::new();
    for n in 0..80 {
        // The first one is unstable.
        let device = if n % 4 == 0 {
            0
        } else {
            random.below(keys.len())
        };
        let version = format!("1.0.{}", random.below(9));
        let mut report = report_values(store, keys[device], &[("sw_version", &version)], at);
        if random.below(3) == 0 {
            let model = format!("model-{}", random.below(9));
            report = report_values(
                store,
                keys[device],
                &[("sw_version", &version), ("hw_model", &model)],
                at,
            );
        }
        reports.push((random.below(2) == 0, report));
    }
    let reports = reports.into_iter().map(|(is_other, report)| async move {
        let server = if is_other { other } else { &**store };
        server.report(report).await
    });
    let deleted = format!("v-{}", 1 + random.below(11));
    let (reports, deletion) = futures::join!(
        futures::future::join_all(reports),
        store.delete_device(store.ours, &deleted, later(at))
    );
    deletion?;
    for result in reports {
        if let Err(RecordError::Store(error)) = result {
            return Err(error.into());
        }
    }
    Ok(())
}

fn report_values(
    store: &TestStore,
    device: DeviceKey,
    values: &[(&str, &str)],
    at: i64,
) -> DeviceReport {
    let data = values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
    DeviceReport {
        tenant: store.ours,
        device,
        by: None,
        at: later(at),
        event: DeviceEvent::Attributes(ReportedAttributes {
            mode: AttributeMode::Merge,
            data: data.collect(),
            names: AttributeNames::default(),
        }),
    }
}

/// The rows of [`CounterKind`]s with any number of keys.
async fn counters_of_values(store: &TestStore) -> anyhow::Result<i64> {
    let sql = "SELECT kind, COUNT(*) FROM tenant_counters WHERE tenant_id = $1 \
               AND kind IN ('devices_by_version', 'devices_by_model') GROUP BY kind";
    Ok(numbers(store, "rows", sql).await?.values().sum())
}

async fn by_version(store: &TestStore) -> anyhow::Result<Vec<(String, u64)>> {
    Ok(store
        .stats(store.ours, NOON, None)
        .await?
        .devices_by_version)
}

on_both! {
    async fn counters_at_zero_are_deleted(store) {
        let key = store.register(store.ours, "v-0", NOON).await?.device;
        for n in 0..30 {
            let (version, model) = (format!("1.0.{n}"), format!("model-{n}"));
            let values = [("sw_version", version.as_str()), ("hw_model", model.as_str())];
            store.report(report_values(store, key, &values, n)).await?;
            assert_eq!(counters_of_values(store).await?, 2, "after {n} changes");
        }
        assert_eq!(by_version(store).await?, [("1.0.29".to_owned(), 1)]);
        adds_up(store).await?;
        store.delete_device(store.ours, "v-0", later(40)).await?;
        assert_eq!(counters_of_values(store).await?, 0);
        adds_up(store).await?;
    }

    async fn values_beyond_10_000_are_counted_as_other(store) {
        seed(store, 9_999).await?;
        let mut keys = Vec::new();
        for id in ["v-0", "v-1", "v-2"] {
            keys.push(store.register(store.ours, id, NOON).await?.device);
        }
        let report = async |device: usize, value: &str, at: i64| {
            let values = [("sw_version", value), ("hw_model", value)];
            store.report(report_values(store, keys[device], &values, at)).await?;
            adds_up(store).await?;
            let stats = store.stats(store.ours, NOON, None).await?;
            let count = |counts: &[(String, u64)]| counts.iter().filter(|(name, _)| !name.starts_with(SEED)).count();
            let own = (count(&stats.devices_by_version), count(&stats.devices_by_model));
            anyhow::Ok((own, stats.devices_of_other_version, stats.devices_of_other_model))
        };
        // With the counter of unknown values, which is no distinct one.
        assert_eq!(report(0, "a", 1).await?, ((2, 2), 0, 0));
        assert_eq!(report(1, "b", 2).await?, ((2, 2), 1, 1));
        assert_eq!(report(1, "c", 3).await?, ((2, 2), 1, 1));
        assert_eq!(report(2, "c", 4).await?, ((1, 1), 2, 2));
        // A value with a counter has it also for the others.
        assert_eq!(report(1, "a", 5).await?, ((1, 1), 1, 1));
        assert_eq!(report(0, "d", 6).await?, ((1, 1), 2, 2));
        // The place of a counter that gets to zero is free at once.
        assert_eq!(report(1, "d", 7).await?, ((1, 1), 2, 2));
        assert_eq!(report(2, "e", 8).await?, ((1, 1), 2, 2));
        assert_eq!(counters_of_values(store).await?, 20_000);
        // Metrics do not read them.
        let stats = store.stats_without_values(store.ours, NOON, None).await?;
        assert_eq!((stats.devices_by_version.len(), stats.devices_by_model.len()), (0, 0));
        assert_eq!((stats.devices_of_other_version, stats.devices_by_state.len()), (2, 1));
        store.delete_device(store.ours, "v-0", later(9)).await?;
        adds_up(store).await?;
    }

    async fn values_of_devices_that_operators_create_are_bounded(store) {
        seed(store, 10_000).await?;
        let attributes = [("hw_model", "rpi4"), ("sw_version", "1.0.0")];
        let device = NewDevice {
            device_id: "gate-1".into(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..NewDevice::default()
        };
        store.create_device(store.ours, device).await?;
        let stats = store.stats(store.ours, NOON, None).await?;
        assert_eq!((stats.devices_of_other_version, stats.devices_of_other_model), (1, 1));
        adds_up(store).await?;
    }

    async fn stored_counters_equal_a_recount_at_the_maximum_of_values(store) {
        seed(store, 9_996).await?;
        let other = store.another_server().await?;
        let mut random = RandomSource(0x5EED_0F7E_57ED);
        let mut most = (0, 0);
        // The first device is unstable, and then there are calm hours.
        let mut was_unstable = false;
        for at in [0, 900, 1800, 2700, 3600, 10_800, 14_400, 18_000, 21_600, 25_200] {
            change_values(store, &other, &mut random, at).await?;
            let device = store.device(store.ours, "v-0").await?.context("the device")?;
            was_unstable |= device.unstable_version_until.is_some();
            adds_up(store).await?;
            let stats = store.stats(store.ours, NOON, None).await?;
            most = (most.0.max(stats.devices_of_other_version), most.1.max(stats.devices_of_other_model));
            assert!(stats.devices_by_version.len() <= 10_001 && stats.devices_by_model.len() <= 10_001);
        }
        assert!(most.0 > 2 && most.1 > 2, "{most:?}");
        let device = store.device(store.ours, "v-0").await?.context("the device")?;
        assert_eq!((was_unstable, device.unstable_version_until), (true, None));
    }

    async fn a_device_whose_version_is_unstable_is_counted_with_its_last_one(store) {
        let key = store.register(store.ours, "v-0", NOON).await?.device;
        let report = async |version: i64, at: i64| {
            let version = format!("1.0.{version}");
            store.report(report_values(store, key, &[("sw_version", &version)], at)).await?;
            adds_up(store).await?;
            let device = store.device(store.ours, "v-0").await?.context("the device")?;
            let [(counted, 1)] = &by_version(store).await?[..] else {
                anyhow::bail!("it is not counted once");
            };
            anyhow::Ok((device.unstable_version_until, counted.clone()))
        };
        // The first report is no change.
        for n in 0..=60 {
            assert_eq!(report(n, n).await?, (None, format!("1.0.{n}")));
        }
        let unstable = |until| (Some(later(until)), "1.0.60".to_owned());
        for n in 61..80 {
            assert_eq!(report(n, n).await?, unstable(2 * 3600 + 1));
        }
        assert_eq!(store.device(store.ours, "v-0").await?.and_then(|device| device.sw_version), Some("1.0.79".to_owned()));
        // A calm hour with a change, and one that has not passed.
        assert_eq!(report(80, 3700).await?, unstable(2 * 3600 + 1));
        assert_eq!(report(80, 7200).await?, unstable(2 * 3600 + 1));
        // The same version is counted again.
        assert_eq!(report(80, 7201).await?, (None, "1.0.80".to_owned()));
        assert_eq!(report(81, 7202).await?, (None, "1.0.81".to_owned()));
    }

    async fn polls_do_not_wait_for_counters(store) {
        let key = store.register(store.ours, "v-0", NOON).await?.device;
        store.report(report_values(store, key, &[("sw_version", "1.0.0")], 1)).await?;
        let mut tx = store.database.write().await?;
        sqlx::query("UPDATE tenant_counters SET value = value WHERE tenant_id = $1")
            .bind(store.ours.0)
            .execute(tx.conn())
            .await?;
        assert!(store.poll_view(store.ours, "v-0").await?.is_some());
        drop(tx);
    }

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
