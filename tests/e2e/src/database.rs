use std::{
    env,
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context as _, Result, bail};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const VARIABLE: &str = "TIDEGATE_TEST_POSTGRES";

/// The database that a server uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// A file in the server's data directory.
    Sqlite,
    /// A new database on the PostgreSQL server that the environment names.
    Postgres,
}

impl Database {
    /// Whether the database can be used here. In continuous integration an unavailable database is an error.
    pub fn is_available(self) -> Result<bool> {
        if self == Self::Sqlite || env::var_os(VARIABLE).is_some() {
            return Ok(true);
        }
        if env::var("CI").is_ok_and(|ci| ci == "true") {
            bail!(
                "{VARIABLE} must name a PostgreSQL server: run the tests with `cargo xtask postgres`"
            );
        }
        Ok(false)
    }

    /// The URL of a new database; `None` if the server creates its own.
    pub(crate) async fn create(self) -> Result<Option<String>> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        if self == Self::Sqlite {
            return Ok(None);
        }
        let server = env::var(VARIABLE).context(VARIABLE)?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("tidegate_e2e_{}_{count}", std::process::id());
        let mut connection = PgConnection::connect(&server).await.context(VARIABLE)?;
        for statement in [
            format!("DROP DATABASE IF EXISTS {name}"),
            format!("CREATE DATABASE {name}"),
        ] {
            connection.execute(AssertSqlSafe(statement)).await?;
        }
        connection.close().await?;
        let (host, _) = server
            .rsplit_once('/')
            .with_context(|| format!("{VARIABLE} must be postgres://user@host:port/database"))?;
        Ok(Some(format!("{host}/{name}")))
    }
}
