//! Compares the stored counters with a recount.

mod events;
mod values;

use std::collections::BTreeMap;

use sqlx::Row as _;

use super::*;

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
pub(super) async fn check_counters(store: &TestStore) -> anyhow::Result<()> {
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
        "SELECT 'of all', CAST(COALESCE(SUM(updates), 0) AS BIGINT) FROM wave_durations WHERE tenant_id = $1"
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
    pairs.push((
        "journal_bytes".to_owned(),
        "SELECT kind, value FROM tenant_counters WHERE tenant_id = $1 AND kind = 'journal_bytes'".to_owned(),
        "SELECT 'journal_bytes', CAST(COALESCE(SUM(journal_bytes), 0) AS BIGINT) FROM campaign_runs WHERE tenant_id = $1".to_owned(),
    ));
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
