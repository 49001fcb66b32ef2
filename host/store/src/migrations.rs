//! Runs the migrations of `migrations/` in the root of the repository, which are written once for both databases.

use std::error::Error;

use sqlx::{
    AnyPool, AssertSqlSafe, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};
use tidegate_engine::ports::StoreError;

use crate::{dialect::Dialect, error::internal};

/// Every migration: number, name and text. A released migration never changes.
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
];

/// Applies all migrations. Servers that start concurrently wait for each other.
pub(crate) async fn run(dialect: Dialect, pool: &AnyPool) -> Result<(), StoreError> {
    migrator(dialect)
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

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, name, text)| {
        let text = AssertSqlSafe(dialect.migration(text)).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::on_both;

    on_both! {
        async fn a_database_that_is_up_to_date_stays_as_it_is(store) {
            run(store.database.dialect(), store.database.writers()).await?;
            run(store.database.dialect(), store.database.writers()).await?;
        }

        async fn a_database_of_a_newer_server_is_left_alone(store) {
            let last = MIGRATIONS.len();
            let newer = format!("UPDATE _sqlx_migrations SET version = 999 WHERE version = {last}");
            sqlx::query(AssertSqlSafe(newer)).execute(store.database.writers()).await?;
            let refused = run(store.database.dialect(), store.database.writers()).await;
            let Err(StoreError::Internal { source, .. }) = refused else {
                panic!("{refused:?}")
            };
            assert!(source.to_string().contains("newer server"), "{source}");
        }
    }

    #[test]
    fn every_placeholder_is_defined() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            for (_, name, text) in MIGRATIONS {
                assert!(!dialect.migration(text).contains("{{"), "{name}");
            }
        }
    }

    #[test]
    fn every_migration_file_is_listed_under_its_number() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let files = std::fs::read_dir(folder).expect("the folder `migrations`");
        let mut files: Vec<_> = files
            .map(|file| {
                file.expect("a file")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        files.sort_unstable();
        let run = MIGRATIONS
            .iter()
            .map(|(number, name, _)| format!("{number:04}_{name}.sql"));
        assert_eq!(files, run.collect::<Vec<_>>());
    }
}
