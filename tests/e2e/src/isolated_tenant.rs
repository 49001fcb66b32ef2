use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Result;

use crate::{Database, Fixture, ServerOptions, TestServer, TestTenant};

/// A lab on a server that nobody else uses, so that its time may be moved.
pub struct IsolatedTenant(TestTenant);

impl Fixture for IsolatedTenant {
    async fn set_up(database: Database) -> Result<Self> {
        Self::with(database, ServerOptions::default()).await
    }
}

impl IsolatedTenant {
    /// On a server that is set up like this.
    pub async fn with(database: Database, options: ServerOptions) -> Result<Self> {
        let server = TestServer::start(database, options).await?;
        TestTenant::new(Arc::new(server)).await.map(Self)
    }

    /// Moves time on.
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
