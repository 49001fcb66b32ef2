use std::{sync::atomic::Ordering, time::Duration};

use serde_json::json;
use tidegate_captured_log::CapturedLog;
use tidegate_engine::{
    plugins,
    ports::{CallFailure, CallQuota, EntryKind, Usage},
};
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

    let before = stored_usage(&fixture).await.calls;
    let refused = plugins::flush_usage(&closed, fixture.engine.plugins()).await;
    assert!(refused.is_err());
    assert!(usage(&fixture).await.calls > before);
}

/// A tick of the campaign calls a health policy and the strategy.
#[tokio::test]
async fn calls_of_wants_are_counted_and_use_the_quota_of_the_call_that_follows() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let started = usage(&fixture).await;
    let sandbox = &fixture.sandbox;
    sandbox.calls_wants.store(true, Ordering::SeqCst);
    fixture.tick(id).await;
    assert_eq!(*sandbox.wants_quotas.lock(), [CallQuota::Decisions; 2]);
    let ticked = usage(&fixture).await;
    assert_eq!(ticked.calls - started.calls, 4);
    assert_eq!(ticked.fuel - started.fuel, 4_000);
    assert_eq!(ticked.failures, started.failures);

    let entries = fixture.journal(id).await.len();
    *sandbox.wants_failure.lock() = Some(CallFailure::Trap("unreachable".to_owned()));
    fixture.clock.advance(Duration::from_secs(4));
    let log = CapturedLog::start();
    fixture.tick(id).await;
    let failures = log.events("plugin call failed");
    let is_of_wants = |event: &&serde_json::Value| event["call"] == json!("wants");
    assert_eq!(
        failures.iter().filter(is_of_wants).count(),
        2,
        "{failures:?}"
    );
    let wants_failed = ("acme/waves".to_owned(), "wants", "trap");
    assert!(fixture.calls.lock().contains(&wants_failed));
    let failed = usage(&fixture).await;
    assert_eq!(failed.fuel - ticked.fuel, 2_000, "nothing else was called");
    assert_eq!(failed.failures - ticked.failures, 2);
    let recorded: Vec<_> = fixture
        .journal(id)
        .await
        .into_iter()
        .skip(entries)
        .collect();
    let kinds = recorded.iter().map(|entry| (entry.kind, &*entry.outcome));
    assert_eq!(kinds.collect::<Vec<_>>(), [(EntryKind::Wants, "trap"); 2]);
    assert!(
        recorded
            .iter()
            .all(|entry| entry.input_digest.is_some() && entry.fuel == 1_000)
    );
}

/// The plugin usage of all plugins until now.
async fn usage(fixture: &EngineFixture) -> Usage {
    plugins::flush_usage(fixture.engine.store(), fixture.engine.plugins())
        .await
        .expect("the usage is written");
    stored_usage(fixture).await
}

/// The plugin usage of all plugins that is stored.
async fn stored_usage(fixture: &EngineFixture) -> Usage {
    let revisions = plugins::list(&fixture.ctx(), fixture.engine.store()).await;
    let revisions = revisions.expect("the plugins are listed");
    let mut sum = Usage::default();
    for revision in revisions {
        sum.calls += revision.usage.calls;
        sum.failures += revision.usage.failures;
        sum.fuel += revision.usage.fuel;
    }
    sum
}
