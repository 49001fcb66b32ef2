use std::{ops::Deref, sync::Arc, time::Duration};

use anyhow::Result;

use crate::{Database, Lab, Server, Setup, Stage};

/// A lab on a server that nobody else uses, so that its time may be moved.
pub struct Alone(Lab);

impl Stage for Alone {
    async fn set(database: Database) -> Result<Self> {
        Self::with(database, Setup::default()).await
    }
}

impl Alone {
    /// On a server that is set up like this.
    pub async fn with(database: Database, setup: Setup) -> Result<Self> {
        let server = Server::start(database, setup).await?;
        Lab::new(Arc::new(server)).await.map(Self)
    }

    /// Moves time on.
    pub fn pass(&self, time: Duration) {
        self.server.clock.pass(time);
    }
}

impl Deref for Alone {
    type Target = Lab;

    fn deref(&self) -> &Lab {
        &self.0
    }
}
