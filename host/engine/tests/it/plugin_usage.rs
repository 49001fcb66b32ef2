use tidegate_engine::plugins;
use tidegate_store::{Options, SqlStore};

use crate::engine_fixture::{EngineFixture, campaign_request};

#[tokio::test]
async fn usage_that_cannot_be_written_is_kept() {
    let fixture = EngineFixture::new(3).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    fixture.create_and_start(campaign_request(firmware)).await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let closed = SqlStore::open(Options::sqlite(&folder.path().join("closed.db")))
        .await
        .expect("a database");
    closed.close().await;

    let before = calls(&fixture).await;
    let refused = plugins::flush_usage(&closed, fixture.engine.plugins()).await;
    assert!(refused.is_err());
    plugins::flush_usage(fixture.engine.store(), fixture.engine.plugins())
        .await
        .expect("the usage is written");
    assert!(calls(&fixture).await > before);
}

/// The number of plugin calls that are stored.
async fn calls(fixture: &EngineFixture) -> u64 {
    let revisions = plugins::list(&fixture.ctx(), fixture.engine.store()).await;
    let revisions = revisions.expect("the plugins are listed");
    revisions.iter().map(|revision| revision.usage.calls).sum()
}
