use std::sync::Arc;

use serde_json::json;
use tidegate_captured_log::CapturedLog;
use tidegate_engine::{campaigns, latest, ports::RunRef, run_gc};

use crate::engine_fixture::{EngineFixture, campaign_request};

#[tokio::test]
async fn a_tick_has_a_span_with_its_tenant_and_campaign() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let campaign = fixture.create_and_start(campaign_request(firmware)).await;
    let tenant = fixture.tenant();
    let log = CapturedLog::start();
    fixture
        .engine
        .signals()
        .wake_campaign(RunRef { tenant, campaign });
    let reconciling = tokio::spawn(campaigns::reconcile(Arc::clone(&fixture.engine)));
    let spans = log.ended_spans("tick", 1).await;
    let expected =
        json!({"name": "tick", "tenant": tenant.to_string(), "campaign": campaign.to_string()});
    assert_eq!(spans[0], expected);
    fixture.engine.signals().stop();
    reconciling.await.expect("no panic");
}

#[tokio::test]
async fn an_iteration_of_a_background_task_has_a_span() {
    let fixture = EngineFixture::new(1).await;
    let log = CapturedLog::start();
    let engine = || Arc::clone(&fixture.engine);
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(campaigns::expire_updates_loop(engine()));
    tasks.spawn(campaigns::check_updates_loop(engine()));
    tasks.spawn(campaigns::join_changed_devices_loop(engine()));
    tasks.spawn(latest::run_latest_loop(engine()));
    tasks.spawn(run_gc(engine()));
    let spans = log.ended_spans("background_task", 5).await;
    for task in [
        "deadlines",
        "update checks",
        "joining devices",
        "devices in mode latest",
        "garbage collection",
    ] {
        let span = json!({"name": "background_task", "task": task});
        assert!(spans.contains(&span), "{task}: {spans:?}");
    }
}

#[tokio::test]
async fn a_tick_that_panics_is_logged_in_its_span() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let campaign = fixture.create_and_start(campaign_request(firmware)).await;
    let tenant = fixture.tenant();
    fixture.sandbox.decides(|_| panic!("a fault"));
    let log = CapturedLog::start();
    fixture
        .engine
        .signals()
        .wake_campaign(RunRef { tenant, campaign });
    let reconciling = tokio::spawn(campaigns::reconcile(Arc::clone(&fixture.engine)));
    // The second span is that of the message.
    log.ended_spans("tick", 2).await;
    fixture.engine.signals().stop();
    reconciling.await.expect("the loop does not panic");
    let messages = log.events("campaign tick panicked");
    let span =
        json!({"name": "tick", "tenant": tenant.to_string(), "campaign": campaign.to_string()});
    assert_eq!(messages[0]["span"], span);
    let error = messages[0]["error"].as_str().expect("an error");
    assert!(error.contains("a fault"), "{error}");
}
