//! New PostgreSQL databases for tests, on the server in `TIDEGATE_TEST_POSTGRES` (`cargo xtask postgres` starts a
//! temporary one).

use std::{
    env,
    error::Error,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

const VARIABLE: &str = "TIDEGATE_TEST_POSTGRES";

/// Creates an empty database and returns its URL. None without a PostgreSQL server: prints that the test is skipped.
/// In continuous integration that is an error.
pub async fn create() -> Result<Option<String>, Box<dyn Error + Send + Sync>> {
    static COUNT: AtomicU32 = AtomicU32::new(0);

    let Ok(server) = env::var(VARIABLE) else {
        let hint = format!("{VARIABLE} is not set; run this by `cargo xtask postgres`");
        if env::var("CI").is_ok_and(|ci| ci == "true") {
            return Err(hint.into());
        }
        print_skipped(&hint);
        return Ok(None);
    };
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tidegate_store_{}_{count}", std::process::id());
    let mut connection = PgConnection::connect(&server).await?;
    for statement in [
        format!("DROP DATABASE IF EXISTS {name}"),
        format!("CREATE DATABASE {name}"),
    ] {
        connection.execute(AssertSqlSafe(statement)).await?;
    }
    connection.close().await?;
    let (address, _) = server
        .rsplit_once('/')
        .ok_or("the URL must end with a database name")?;
    Ok(Some(format!("{address}/{name}")))
}

#[expect(clippy::print_stderr, reason = "shows in the test output")]
fn print_skipped(hint: &str) {
    eprintln!("SKIPPED on PostgreSQL: {hint}");
}
