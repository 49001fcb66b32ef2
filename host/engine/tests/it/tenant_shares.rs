use std::sync::{Arc, atomic::Ordering};

use tidegate_core::plugin::DecisionOutcome;
use tidegate_engine::{campaigns, ports::RunRef};
use tokio::sync::Semaphore;

use crate::{
    engine_fixture::{EngineFixture, campaign_request, wait_until},
    scripted_sandbox::decision,
};

#[tokio::test]
async fn a_tenant_with_many_slow_campaigns_delays_no_other() {
    let slow = EngineFixture::new(1).await;
    let other = slow.other_tenant(1).await;
    slow.sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    let permits = Arc::new(Semaphore::new(0));
    *slow.sandbox.slow_decisions.lock() = Some((slow.tenant(), Arc::clone(&permits)));
    let firmware = slow.add_firmware("1.1.0").await;
    for _ in 0..30 {
        slow.create_and_start(campaign_request(firmware)).await;
    }
    let reconciling = tokio::spawn(campaigns::reconcile(Arc::clone(&slow.engine)));
    let begun = &slow.sandbox.slow_decisions_begun;
    // No more of this tenant run at a time.
    wait_until(async || begun.load(Ordering::SeqCst) >= 8).await;

    let firmware = other.add_firmware("1.1.0").await;
    let campaign = other.create_and_start(campaign_request(firmware)).await;
    let tenant = other.tenant();
    other
        .engine
        .signals()
        .wake_campaign(RunRef { tenant, campaign });
    wait_until(async || !other.open(campaign).await.is_empty()).await;
    permits.add_permits(1_000);
    slow.engine.signals().stop();
    reconciling.await.expect("no panic");
}
