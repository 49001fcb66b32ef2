//! The databases of the measurements.

use anyhow::{Context as _, Result};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

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
