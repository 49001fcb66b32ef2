//! Runs the migrations of `migrations/` in the root of the repository, which are written once for both databases.

use std::error::Error;

use sqlx::{
    AnyPool, AssertSqlSafe, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tidegate_engine::ports::StoreError;

use crate::{dialect::Dialect, error::internal};

#[cfg(test)]
mod tests;

/// Every migration: number, name and text. Files are frozen once they are committed: `migrations/SHA256SUMS` lists their
/// digests.
pub(crate) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "tenants",
        include_str!("../../../migrations/0001_tenants.sql"),
    ),
    (
        2,
        "firmware",
        include_str!("../../../migrations/0002_firmware.sql"),
    ),
    (
        3,
        "devices",
        include_str!("../../../migrations/0003_devices.sql"),
    ),
    (
        4,
        "plugins",
        include_str!("../../../migrations/0004_plugins.sql"),
    ),
    (
        5,
        "campaigns",
        include_str!("../../../migrations/0005_campaigns.sql"),
    ),
    (
        6,
        "updates",
        include_str!("../../../migrations/0006_updates.sql"),
    ),
    (
        7,
        "files",
        include_str!("../../../migrations/0007_files.sql"),
    ),
    (
        8,
        "keyed_requests",
        include_str!("../../../migrations/0008_keyed_requests.sql"),
    ),
    (
        9,
        "notes",
        include_str!("../../../migrations/0009_notes.sql"),
    ),
    (
        10,
        "audit",
        include_str!("../../../migrations/0010_audit.sql"),
    ),
    (
        11,
        "advances",
        include_str!("../../../migrations/0011_advances.sql"),
    ),
    (
        12,
        "waiting_updates",
        include_str!("../../../migrations/0012_waiting_updates.sql"),
    ),
    (
        13,
        "reporting_clock",
        include_str!("../../../migrations/0013_reporting_clock.sql"),
    ),
    (
        14,
        "late_success",
        include_str!("../../../migrations/0014_late_success.sql"),
    ),
    (
        15,
        "file_fetch",
        include_str!("../../../migrations/0015_file_fetch.sql"),
    ),
    (
        16,
        "awaited_versions",
        include_str!("../../../migrations/0016_awaited_versions.sql"),
    ),
    (
        17,
        "overdue",
        include_str!("../../../migrations/0017_overdue.sql"),
    ),
    (
        18,
        "unordered_versions",
        include_str!("../../../migrations/0018_unordered_versions.sql"),
    ),
    (
        19,
        "compatibility",
        include_str!("../../../migrations/0019_compatibility.sql"),
    ),
    (
        20,
        "scheduled_retries",
        include_str!("../../../migrations/0020_scheduled_retries.sql"),
    ),
    (
        21,
        "device_refusal",
        include_str!("../../../migrations/0021_device_refusal.sql"),
    ),
    (
        22,
        "fetch_failures",
        include_str!("../../../migrations/0022_fetch_failures.sql"),
    ),
    (
        23,
        "late_reports",
        include_str!("../../../migrations/0023_late_reports.sql"),
    ),
    (
        24,
        "unchecked_updates",
        include_str!("../../../migrations/0024_unchecked_updates.sql"),
    ),
    (
        25,
        "failed_updates",
        include_str!("../../../migrations/0025_failed_updates.sql"),
    ),
    (
        27,
        "origin",
        include_str!("../../../migrations/0027_origin.sql"),
    ),
    (
        29,
        "counted_values",
        include_str!("../../../migrations/0029_counted_values.sql"),
    ),
    (
        30,
        "edited_campaigns",
        include_str!("../../../migrations/0030_edited_campaigns.sql"),
    ),
    (
        32,
        "last_use_of_keys",
        include_str!("../../../migrations/0032_last_use_of_keys.sql"),
    ),
    (
        33,
        "update_approvals",
        include_str!("../../../migrations/0033_update_approvals.sql"),
    ),
    (
        34,
        "incomplete_approvals",
        include_str!("../../../migrations/0034_incomplete_approvals.sql"),
    ),
    (
        35,
        "campaign_editors",
        include_str!("../../../migrations/0035_campaign_editors.sql"),
    ),
    (
        37,
        "authorship",
        include_str!("../../../migrations/0037_authorship.sql"),
    ),
    (
        39,
        "plugin_names",
        include_str!("../../../migrations/0039_plugin_names.sql"),
    ),
    (
        40,
        "revision_states",
        include_str!("../../../migrations/0040_revision_states.sql"),
    ),
    (
        41,
        "feedback_by_digest",
        include_str!("../../../migrations/0041_feedback_by_digest.sql"),
    ),
    (
        42,
        "budgets",
        include_str!("../../../migrations/0042_budgets.sql"),
    ),
    (
        43,
        "plugin_rejections",
        include_str!("../../../migrations/0043_plugin_rejections.sql"),
    ),
    (
        44,
        "contract",
        include_str!("../../../migrations/0044_contract.sql"),
    ),
    (
        45,
        "call_limits",
        include_str!("../../../migrations/0045_call_limits.sql"),
    ),
    (
        46,
        "journal_log",
        include_str!("../../../migrations/0046_journal_log.sql"),
    ),
    (
        47,
        "journal_size",
        include_str!("../../../migrations/0047_journal_size.sql"),
    ),
    (
        48,
        "earlier_revisions",
        include_str!("../../../migrations/0048_earlier_revisions.sql"),
    ),
    (
        49,
        "recent_timeouts",
        include_str!("../../../migrations/0049_recent_timeouts.sql"),
    ),
    (
        50,
        "journal_peak_memory",
        include_str!("../../../migrations/0050_journal_peak_memory.sql"),
    ),
    (
        51,
        "campaign_start",
        include_str!("../../../migrations/0051_campaign_start.sql"),
    ),
    (
        52,
        "dynamic_plans",
        include_str!("../../../migrations/0052_dynamic_plans.sql"),
    ),
    (
        53,
        "intermediate_firmware",
        include_str!("../../../migrations/0053_intermediate_firmware.sql"),
    ),
];

/// Applies all migrations. Servers that start concurrently wait for each other.
pub(crate) async fn run(dialect: Dialect, pool: &AnyPool) -> Result<(), StoreError> {
    migrator(dialect, MIGRATIONS)
        .run(pool)
        .await
        .map_err(|error| internal("migrate the database")(explained(error)))
}

/// Explains the error that occurs when an older server is started on the database of a newer one.
fn explained(error: MigrateError) -> Box<dyn Error + Send + Sync> {
    match error {
        MigrateError::VersionMissing(version) => format!(
            "the database belongs to a newer server: it has migration {version}, which this server does not know. Start \
             the newer server, or restore the backup that was taken before the upgrade"
        )
        .into(),
        error => Box::new(error),
    }
}

fn migrator(dialect: Dialect, migrations: &[(i64, &'static str, &'static str)]) -> Migrator {
    let migrations = migrations.iter().map(|(version, name, text)| {
        let text = AssertSqlSafe(dialect.migration(text)).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}
