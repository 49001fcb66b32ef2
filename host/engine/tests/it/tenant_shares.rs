use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tidegate_core::plugin::{DecisionOutcome, PluginKind};
use tidegate_engine::{Engine, Settings, campaigns, ports::RunRef};
use tokio::sync::Semaphore;

use crate::{
    engine_fixture::{EngineFixture, campaign_request, digest_of, wait_until},
    scripted_sandbox::decision,
};

#[tokio::test]
async fn a_tenant_with_many_slow_campaigns_delays_no_other() {
    let slow = EngineFixture::new(1).await;
    let other = slow.other_tenant(1).await;
    slow.sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    let permits = Arc::new(Semaphore::new(0));
    let strategy = digest_of("acme/waves", &[]);
    *slow.sandbox.slow_decisions.lock() = Some((slow.tenant(), strategy, Arc::clone(&permits)));
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

/// The campaigns of the slow strategy are woken again before their ticks end, as those of a strategy that has something to
/// change at every tick.
#[tokio::test]
async fn many_campaigns_of_a_slow_strategy_delay_no_other_strategy_of_their_tenant() {
    let mut fixture = EngineFixture::new(1).await;
    let settings = Settings {
        tick_pause: Duration::ZERO,
        ..fixture.engine.settings().clone()
    };
    fixture.engine = Arc::new(Engine::new(fixture.ports.clone(), settings));
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    let slow_strategy = fixture.add_version("acme/slow", PluginKind::Strategy, "1.0.0", 1);
    let slow_strategy = slow_strategy.await;
    let permits = Arc::new(Semaphore::new(0));
    *fixture.sandbox.slow_decisions.lock() =
        Some((fixture.tenant(), slow_strategy, Arc::clone(&permits)));
    let firmware = fixture.add_firmware("1.1.0").await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut request = campaign_request(firmware);
        request.strategy.plugin = "acme/slow".to_owned();
        slow.push(fixture.create_and_start(request).await);
    }
    let other = fixture.create_and_start(campaign_request(firmware)).await;
    let reconciling = tokio::spawn(campaigns::reconcile(Arc::clone(&fixture.engine)));
    let wake = |campaign| {
        let tenant = fixture.tenant();
        let run = RunRef { tenant, campaign };
        fixture.engine.signals().wake_campaign(run);
    };
    let begun = || fixture.sandbox.slow_decisions_begun.load(Ordering::SeqCst);

    let mut ended = 0;
    for _ in 0..5 {
        slow.iter().copied().for_each(wake);
        // Alone, a strategy uses all ticks of its tenant.
        wait_until(async || begun() == ended + 8).await;
        let decisions = fixture.decisions(other).await;
        wake(other);
        let is_decided = async || fixture.decisions(other).await > decisions;
        let mut slow_turns = 0;
        while !is_decided().await {
            permits.add_permits(1);
            ended += 1;
            slow_turns += 1;
            wait_until(async || is_decided().await || begun() == ended + 8).await;
        }
        // One, unless its last tick was still ending when it was woken.
        assert!(slow_turns <= 4, "it waited for {slow_turns} slow decisions");
    }
    permits.add_permits(1_000);
    fixture.engine.signals().stop();
    reconciling.await.expect("no panic");
}
