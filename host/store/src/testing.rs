//! Test stores, each with a new database: SQLite in a temporary folder, PostgreSQL in a [`test_database`].

use std::ops::Deref;

use tempfile::TempDir;
use tidegate_core::{id::TenantId, time::Timestamp};
use tidegate_engine::ports::Tenants;

use crate::{Options, SqlStore, test_database};

/// A store on a new database with two tenants.
pub(crate) struct TestStore {
    store: SqlStore,
    /// The tenant that the test writes to.
    pub ours: TenantId,
    /// The tenant that must not see the test's rows.
    pub theirs: TenantId,
    _folder: Option<TempDir>,
}

impl Deref for TestStore {
    type Target = SqlStore;

    fn deref(&self) -> &SqlStore {
        &self.store
    }
}

impl TestStore {
    pub(crate) async fn on_sqlite() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let options = Options::sqlite(&folder.path().join("tide gate.db"));
        Self::new(options, Some(folder)).await
    }

    /// None without a PostgreSQL server.
    pub(crate) async fn on_postgres() -> anyhow::Result<Option<Self>> {
        let Some(url) = test_database::create()
            .await
            .map_err(anyhow::Error::from_boxed)?
        else {
            return Ok(None);
        };
        Self::new(Options::new(url), None).await.map(Some)
    }

    /// Another server on the same database.
    pub(crate) async fn another_server(&self) -> anyhow::Result<SqlStore> {
        let options = Options::new(self.database.url());
        let server_name = "another".to_owned();
        Ok(SqlStore::open(Options {
            server_name,
            ..options
        })
        .await?)
    }

    async fn new(options: Options, folder: Option<TempDir>) -> anyhow::Result<Self> {
        let store = SqlStore::open(options).await?;
        Ok(Self {
            ours: store.create_tenant("DEFAULT", Timestamp(0)).await?.id,
            theirs: store.create_tenant("OTHER", Timestamp(0)).await?.id,
            store,
            _folder: folder,
        })
    }
}

/// Tests that run on both databases:
///
/// ```ignore
/// on_both! {
///     async fn a_tenant_is_made_once(store) {
///         store.create_tenant("ACME", Timestamp(1)).await?;
///     }
/// }
/// ```
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($store:ident) $body:block)*) => {$(
        $(#[$meta])*
        mod $name {
            use super::*;

            async fn check($store: &$crate::testing::TestStore) -> anyhow::Result<()> {
                $body
                Ok(())
            }

            #[tokio::test]
            async fn sqlite() -> anyhow::Result<()> {
                check(&$crate::testing::TestStore::on_sqlite().await?).await
            }

            #[tokio::test]
            async fn postgres() -> anyhow::Result<()> {
                match $crate::testing::TestStore::on_postgres().await? {
                    Some(store) => check(&store).await,
                    None => Ok(()),
                }
            }
        }
    )*};
}
pub(crate) use on_both;
