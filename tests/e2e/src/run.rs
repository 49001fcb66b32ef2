use std::{io::Write as _, sync::LazyLock};

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::Database;

/// Shared servers outlive the tests, so their runtime does too.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime can be created")
});

/// What a test gets as its argument.
pub trait Fixture: Sized {
    /// Creates it on this database.
    fn set_up(database: Database) -> impl Future<Output = Result<Self>>;
}

/// Runs a test on a database; prints that it is skipped if the database is not available.
pub fn run<S: Fixture>(
    database: Database,
    name: &str,
    test: impl AsyncFnOnce(S) -> Result<()>,
) -> Result<()> {
    if !database.is_available()? {
        // Not `eprintln!`: its output is captured.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED on PostgreSQL: {name} (TIDEGATE_TEST_POSTGRES names no server)"
        );
        return Ok(());
    }
    RUNTIME.block_on(async { test(S::set_up(database).await?).await })
}

/// Runs a test that creates its own fixture.
pub fn run_standalone(test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    RUNTIME.block_on(test())
}

/// Turns each function into a test on SQLite and one on PostgreSQL. To be used once in a module.
#[macro_export]
macro_rules! both_databases {
    ($($test:ident),+ $(,)?) => {
        mod on_sqlite {
            $(#[test]
            fn $test() -> anyhow::Result<()> {
                let name = concat!(module_path!(), "::", stringify!($test));
                $crate::run($crate::Database::Sqlite, name, super::$test)
            })+
        }
        mod on_postgres {
            $(#[test]
            fn $test() -> anyhow::Result<()> {
                let name = concat!(module_path!(), "::", stringify!($test));
                $crate::run($crate::Database::Postgres, name, super::$test)
            })+
        }
    };
}
