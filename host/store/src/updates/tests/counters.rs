//! Counters are kept with every change and never counted, except here.

use std::{collections::BTreeMap, time::Duration};

use sqlx::Row as _;
use tidegate_core::{
    feedback::{Execution, Finished},
    plugin::Scope,
    update::{Event, Proof, Purpose, Retries, Terms},
};
use tidegate_engine::ports::{Offer, Runs as _};

use super::*;
use crate::scene::TIMEOUT;

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
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
    let mut tx = store.database.once().await?;
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

/// Every kept counter and the same counted: they must be equal. Of the tries of an update only the last one counts.
async fn adds_up(store: &TestStore) -> anyhow::Result<()> {
    let forward = "FROM updates WHERE tenant_id = $1 AND purpose = 'forward' AND is_retried = 0";
    let back = "FROM updates WHERE tenant_id = $1 AND purpose = 'return' AND is_retried = 0";
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
            "open_forward",
            format!("{forward} AND completed_at IS NULL"),
        ),
        (
            "to_look_at",
            format!("{forward} AND completed_at IS NOT NULL AND looked_at IS NULL"),
        ),
        ("open_return", format!("{back} AND completed_at IS NULL")),
        ("returned", format!("{back} AND status = 'completed'")),
        (
            "not_returned",
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
            format!("SELECT tally_key, n FROM tallies WHERE tenant_id = $1 AND kind = '{kind}'"),
            format!("SELECT {key}, COUNT(*) FROM {table} WHERE tenant_id = $1 GROUP BY {key}"),
        ));
    }
    for (kind, statuses) in [
        ("completed_in_hour", "'completed'"),
        ("failed_in_hour", "'failed', 'timed_out'"),
    ] {
        pairs.push((
            kind.to_owned(),
            format!("SELECT kind, CAST(SUM(n) AS BIGINT) FROM tallies WHERE tenant_id = $1 AND kind = '{kind}' GROUP BY kind"),
            format!("SELECT '{kind}', COUNT(*) FROM updates WHERE tenant_id = $1 AND status IN ({statuses}) AND is_retried = 0"),
        ));
    }
    let (mut kept, mut counted) = (Counts::new(), Counts::new());
    for (what, keeps, counts) in pairs {
        kept.extend(numbers(store, &what, &keeps).await?);
        counted.extend(numbers(store, &what, &counts).await?);
    }
    assert_eq!(kept, counted);

    let astray = "SELECT device_id, 1 FROM devices d WHERE d.tenant_id = $1 AND (d.state = 'pending') <> EXISTS \
        (SELECT 1 FROM updates u WHERE u.tenant_id = d.tenant_id AND u.device_id = d.id AND u.completed_at IS NULL)";
    // SQLite casts BIGINT of a literal as it is; PostgreSQL needs to be told.
    let astray = astray.replace("device_id, 1 FROM", "device_id, CAST(1 AS BIGINT) FROM");
    assert_eq!(numbers(store, "astray", &astray).await?, Counts::new());
    Ok(())
}

fn event(dice: &mut Dice) -> Event {
    use Execution as E;
    use Finished as F;
    let message = ["a", "b", "CHECKSUM_MISMATCH", "INSUFFICIENT_SPACE"][dice.below(4)];
    let of = |execution, finished| feedback(execution, finished, message);
    match dice.below(10) {
        0 | 1 => Event::Retrieved,
        2 => Event::Feedback(of(E::Download, F::None)),
        3 => Event::Feedback(of(E::Proceeding, F::None)),
        4 => Event::Feedback(of(E::Closed, F::Success)),
        5 => Event::Feedback(of(E::Closed, F::Failure)),
        6 => Event::CancelRequested,
        7 => Event::CancelFeedback(of(E::Rejected, F::None)),
        8 => Event::CancelFeedback(of(E::Closed, F::Success)),
        _ => Event::Feedback(of(E::Rejected, F::None)),
    }
}

/// A burst of events, many of which are refused.
async fn storm(scene: &Scene<'_>, dice: &mut Dice, at: i64) -> anyhow::Result<()> {
    let mut reports = Vec::new();
    for _ in 0..40 {
        let key = scene.devices[dice.below(scene.devices.len())];
        let Some(row) = scene.updates_of(key).await?.items.into_iter().next() else {
            continue;
        };
        reports.push(scene.report(key, row.update.id, event(dice), later(at)));
    }
    let versions = (0..4).map(|_| {
        let key = scene.devices[dice.below(scene.devices.len())];
        let version = ["1.0.0", "1.1.0"][dice.below(2)];
        scene.reports_version(key, version, later(at))
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

/// The first device that is on its way back arrives.
async fn one_arrives(scene: &Scene<'_>, at: i64) -> anyhow::Result<()> {
    for key in &scene.devices {
        let newest = scene.updates_of(*key).await?.items.into_iter().next();
        let is_on_its_way = newest.is_some_and(|row| {
            let purpose = row.update.campaign.map(|(_, purpose)| purpose);
            let status = row.update.progress.status;
            purpose == Some(Purpose::Return)
                && status.is_open()
                && status != UpdateStatus::Scheduled
        });
        if is_on_its_way {
            return scene.succeeds(*key, later(at)).await;
        }
    }
    Ok(())
}

async fn weathers_a_storm(store: &TestStore, retries: Retries) -> anyhow::Result<()> {
    let terms = Terms {
        retries,
        ..Terms::forced(TIMEOUT)
    };
    let scene = Scene::on(store, &[10, 20], Proof::Attested, terms).await?;
    adds_up(store).await?;
    let mut dice = Dice(0x5EED_0F7E_57ED);
    for round in 0..6_u64 {
        let levels = [10, round * 4];
        futures::try_join!(
            scene.release(&levels),
            storm(&scene, &mut dice, 10 + round as i64),
        )?;
        adds_up(store).await?;
        // Tries that wait for their time go out.
        store.expire(later(80 + round as i64), 5).await?;
    }
    // Some fall silent while others speak; then everything goes back.
    let silent = async { anyhow::Ok(store.expire(later(3600), 5).await?) };
    futures::try_join!(silent, storm(&scene, &mut dice, 3600))?;
    adds_up(store).await?;
    let fence = scene.turn_back().await?;
    let offer = Offer {
        proof: Proof::Reported,
        ..scene.offer(later(3602))
    };
    let everything = Scope::Everything;
    for round in 0..8 {
        let back = async {
            while !store
                .call_back(scene.run, fence, 7, later(3601))
                .await?
                .is_empty()
            {}
            while store
                .send_back(scene.run, fence, everything, 7, &offer)
                .await?
                .looked_at
                > 0
            {}
            anyhow::Ok(())
        };
        futures::try_join!(back, storm(&scene, &mut dice, 3610 + round))?;
        one_arrives(&scene, 3610 + round).await?;
        adds_up(store).await?;
    }
    for round in 1..9 {
        store.expire(later(round * 100_000), 500).await?;
        store
            .send_back(scene.run, fence, everything, 500, &offer)
            .await?;
        adds_up(store).await?;
    }
    let ending = scene.look().await?.ending;
    assert_eq!(
        (ending.open_forward, ending.to_look_at, ending.open_return),
        (0, 0, 0)
    );
    assert!(ending.returned > 0 && ending.not_returned > 0, "{ending:?}");
    Ok(())
}

on_both! {
    async fn kept_counters_are_what_counting_gives(store) {
        weathers_a_storm(store, Retries::NONE).await?;
    }

    async fn kept_counters_are_what_counting_the_last_tries_gives(store) {
        let retries = Retries { most: 2, delay: Duration::from_mins(1) };
        weathers_a_storm(store, retries).await?;
        let tries = "SELECT 'tries', COUNT(*) FROM updates WHERE tenant_id = $1 AND is_retried = 1";
        assert!(numbers(store, "all", tries).await?["all tries"] > 10);
    }
}
