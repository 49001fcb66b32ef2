use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Result;

use crate::{Database, Fixture, ServerOptions, TestServer, TestTenant};

/// A tenant on a server of its own, whose clock the test may advance.
pub struct IsolatedTenant(TestTenant);

impl Fixture for IsolatedTenant {
    async fn set_up(database: Database) -> Result<Self> {
        Self::with(database, ServerOptions::default()).await
    }
}

impl IsolatedTenant {
    /// Starts a server with these options.
    pub async fn with(database: Database, options: ServerOptions) -> Result<Self> {
        let server = TestServer::start(database, options).await?;
        TestTenant::new(Arc::new(server)).await.map(Self)
    }

    /// Advances the server's clock.
    pub fn advance(&self, time: Duration) {
        self.server.clock.advance(time);
    }
}

impl Deref for IsolatedTenant {
    type Target = TestTenant;

    fn deref(&self) -> &TestTenant {
        &self.0
    }
}
