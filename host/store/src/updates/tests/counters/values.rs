//! Counters by the versions and models that devices report.

use tidegate_core::device::{AttributeMode, AttributeNames};
use tidegate_engine::ports::{
    DeviceReport, NewDevice, ReportedAttributes, Statistics as _, Updates as _,
};

use super::*;
use crate::{SqlStore, rows::to_json};

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
        read_at: None,
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
        check_counters(store).await?;
        store.delete_device(store.ours, "v-0", later(40)).await?;
        assert_eq!(counters_of_values(store).await?, 0);
        check_counters(store).await?;
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
            check_counters(store).await?;
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
        check_counters(store).await?;
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
        check_counters(store).await?;
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
            check_counters(store).await?;
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
            check_counters(store).await?;
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
}
