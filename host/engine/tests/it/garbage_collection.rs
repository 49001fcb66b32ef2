//! The loop that deletes what is not needed any more.

use std::{sync::Arc, time::Duration};

use tidegate_core::{feedback::Finished, plugin::DecisionOutcome, time::Timestamp};
use tidegate_engine::{run_gc, tenants};

use crate::{
    engine_fixture::{EngineFixture, campaign_request},
    scripted_sandbox::decision,
};

#[tokio::test]
async fn counters_of_hours_that_are_not_shown_any_more_are_deleted() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let id = fixture.create_and_start(campaign_request(firmware)).await;
    let sandbox = &fixture.sandbox;
    sandbox.decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.report_result(id, Finished::Success).await;
    let store = fixture.engine.store();
    let stored = async || {
        let stats = store.stats(fixture.tenant(), Timestamp(0), None).await;
        stats.expect("counters").completed_recently
    };
    assert_eq!(stored().await, 1);
    fixture.clock.advance(Duration::from_hours(23));
    let shown = tenants::stats(&fixture.ctx(), store, fixture.engine.caches()).await;
    assert_eq!(shown.expect("counters").completed_recently, 1);

    fixture.clock.advance(Duration::from_hours(2));
    let deleted = async {
        while stored().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = deleted => {}
        () = run_gc(Arc::clone(&fixture.engine)) => panic!("the loop ends"),
    }
}
