use std::{io::Write as _, sync::LazyLock};

use anyhow::Result;
use tokio::runtime::Runtime;

use crate::Database;

/// Servers that tests share outlive each of them, and so does what they run on.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    // A second call finds the provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the operating system gives threads")
});

/// What a test is given.
pub trait Fixture: Sized {
    /// Sets it up on this database.
    fn set_up(database: Database) -> impl Future<Output = Result<Self>>;
}

/// Runs a test on a database, or says that there is none.
pub fn run<S: Fixture>(
    database: Database,
    name: &str,
    test: impl AsyncFnOnce(S) -> Result<()>,
) -> Result<()> {
    if !database.is_available()? {
        // Not `eprintln!`: that is captured, and nobody would see it.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED on PostgreSQL: {name} (TIDEGATE_TEST_POSTGRES names no server)"
        );
        return Ok(());
    }
    RUNTIME.block_on(async { test(S::set_up(database).await?).await })
}

/// Runs a test that brings its own server.
pub fn run_standalone(test: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
    RUNTIME.block_on(test())
}

/// Makes of each function a test on SQLite and one on PostgreSQL. Once in a module.
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
