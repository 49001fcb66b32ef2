//! The databases of the measurements.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _, PgConnection};

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
    if url.starts_with("sqlite") {
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
