//! The databases of the measurements.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

/// A database system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatabaseKind {
    Sqlite,
    Postgres,
}

impl DatabaseKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }

    fn of_url(url: &str) -> Self {
        if url.starts_with("sqlite") {
            Self::Sqlite
        } else {
            Self::Postgres
        }
    }
}

/// Creates an empty database on a PostgreSQL server. Returns its URL.
pub(crate) async fn create_database(server: &str, name: &str) -> Result<String> {
    let mut connection = PgConnection::connect(server)
        .await
        .context("connect to PostgreSQL")?;
    for statement in [
        format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        format!("CREATE DATABASE {name}"),
    ] {
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    connection.close().await?;
    let (host, _) = server
        .rsplit_once('/')
        .context("--postgres must be postgres://user@host:port/database")?;
    Ok(format!("{host}/{name}"))
}

/// Writes rows of the size of a feedback into a table of their own, `batch` rows in one insert and one commit, and nothing
/// else. Returns rows per second.
pub(crate) async fn bare_inserts(url: &str, batch: usize, time: Duration) -> Result<f64> {
    sqlx::any::install_default_drivers();
    let mut connection = AnyConnection::connect(url)
        .await
        .context("open the database")?;
    if DatabaseKind::of_url(url) == DatabaseKind::Sqlite {
        sqlx::raw_sql("PRAGMA synchronous = FULL")
            .execute(&mut connection)
            .await?;
    }
    sqlx::raw_sql(
        "CREATE TABLE bare (update_id BIGINT, seq BIGINT, digest TEXT, at BIGINT, messages TEXT)",
    )
    .execute(&mut connection)
    .await?;
    let row = "(1, 1, '5f3c2b1a09d8e7f65f3c2b1a09d8e7f6', 1767225600000, '[]')";
    let rows = vec![row; batch].join(", ");
    let insert = format!("INSERT INTO bare VALUES {rows}");
    let (began, mut written) = (Instant::now(), 0);
    while began.elapsed() < time {
        let mut tx = connection.begin().await?;
        sqlx::query(AssertSqlSafe(insert.as_str()))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        written += batch;
    }
    let rate = written as f64 / began.elapsed().as_secs_f64();
    connection.close().await?;
    Ok(rate)
}

/// Copies the only device of a database, under other ids, until there are `devices`.
pub(crate) async fn copy_device(url: &str, devices: usize) -> Result<()> {
    sqlx::any::install_default_drivers();
    let kind = DatabaseKind::of_url(url);
    let mut connection = AnyConnection::connect(url)
        .await
        .context("open the database")?;
    let (columns, id, tidy) = match kind {
        DatabaseKind::Sqlite => (
            "SELECT name FROM pragma_table_info('devices')",
            "printf('edge-device-%06d', n)",
            // Closing the connection writes the log back.
            "SELECT 1",
        ),
        DatabaseKind::Postgres => (
            "SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = 'devices'",
            "'edge-device-' || lpad(CAST(n AS TEXT), 6, '0')",
            // What the server's own vacuum does within a minute, and may otherwise do during a measurement.
            "VACUUM ANALYZE devices",
        ),
    };
    let columns = sqlx::query(columns).fetch_all(&mut connection).await?;
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    let copied: Vec<&str> = columns
        .iter()
        .map(String::as_str)
        .filter(|name| *name != "id")
        .collect();
    let values: Vec<&str> = copied
        .iter()
        .map(|name| match *name {
            "device_id" | "name" => id,
            name => name,
        })
        .collect();
    let last = devices - 1;
    let counters = counter_update(&mut connection, kind, devices).await?;
    for statement in [
        "BEGIN".to_owned(),
        format!(
            "INSERT INTO devices ({}) \
             WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) \
             SELECT {} FROM numbers CROSS JOIN (SELECT * FROM devices LIMIT 1) AS device",
            copied.join(", "),
            values.join(", ")
        ),
        counters,
        "COMMIT".to_owned(),
        tidy.to_owned(),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
    }
    connection.close().await?;
    Ok(())
}

/// The statement that sets the counters of the only device to `devices`. The table and its columns have other names in
/// revisions before the first release, with which this one is compared.
async fn counter_update(
    connection: &mut AnyConnection,
    kind: DatabaseKind,
    devices: usize,
) -> Result<String> {
    let earlier = match kind {
        DatabaseKind::Sqlite => "SELECT 1 FROM sqlite_schema WHERE name = 'tallies'",
        DatabaseKind::Postgres => "SELECT 1 FROM pg_tables WHERE tablename = 'tallies'",
    };
    let earlier = sqlx::query(earlier).fetch_optional(connection).await?;
    let (table, column) = match earlier {
        Some(_) => ("tallies", "n"),
        None => ("tenant_counters", "value"),
    };
    Ok(format!(
        "UPDATE {table} SET {column} = {devices} WHERE kind LIKE 'devices_%' AND {column} = 1"
    ))
}
