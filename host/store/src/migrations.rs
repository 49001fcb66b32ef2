//! The tables, as `migrations/` at the root of the repository has them: written once, for both databases.

use sqlx::{
    AnyPool, AssertSqlSafe, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};
use tidegate_engine::ports::StoreError;

use crate::{dialect::Dialect, error::internal};

/// Every migration: its number, its name, its text. One that was released never changes.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (
        1,
        "registry",
        include_str!("../../../migrations/0001_registry.sql"),
    ),
    (
        2,
        "campaigns",
        include_str!("../../../migrations/0002_campaigns.sql"),
    ),
];

/// Brings the database to the last migration. Hosts that start at the same time wait for one another.
pub(crate) async fn run(dialect: Dialect, pool: &AnyPool) -> Result<(), StoreError> {
    migrator(dialect)
        .run(pool)
        .await
        .map_err(|error| internal("migrate the database")(Box::new(error)))
}

fn migrator(dialect: Dialect) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, name, text)| {
        let text = AssertSqlSafe(dialect.migration(text)).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}
