//! What becomes of the parts of an answer that decide nothing: the reason to complete, and the confidence of a policy.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::{
    campaign::CampaignStatus,
    plugin::{DecisionOutcome, HealthAnswer, HealthVerdict, PluginKind},
};
use tidegate_engine::{plugins::PluginChoice, ports::CallFailure};

use crate::{
    engine_fixture::{EngineFixture, campaign_request},
    scripted_sandbox::{decision, health},
};

#[tokio::test]
async fn a_campaign_shows_why_it_completed_without_some_devices() {
    let fixture = EngineFixture::new(3).await;
    let id = fixture.start_campaign().await;
    let reason = "the other devices are retired";
    fixture.sandbox.decides(move |_| {
        let outcome = DecisionOutcome::Complete(Some(reason.to_owned()));
        Ok(decision(&[], outcome))
    });
    fixture.tick(id).await;
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::Completed);
    assert_eq!(campaign.explain, [reason, "scripted"]);
}

#[tokio::test]
async fn a_strategy_sees_how_sure_each_policy_is() {
    let fixture = EngineFixture::new(3).await;
    fixture.add_plugin("acme/broken", PluginKind::Health).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.policies.push(PluginChoice {
        plugin: "acme/broken".to_owned(),
        revision: None,
        config: "{}".to_owned(),
    });
    let id = fixture.create_and_start(request).await;
    let mut calls = 0;
    fixture.sandbox.evaluates(move |_| {
        calls += 1;
        if calls == 2 {
            return Err(CallFailure::Trap("a bug".to_owned()));
        }
        Ok(HealthAnswer {
            confidence: 7_000,
            ..health(HealthVerdict::Healthy)
        })
    });
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shown = Arc::clone(&seen);
    fixture.sandbox.decides(move |observation| {
        for policy in &observation.verdicts {
            let is_healthy = policy.verdict == HealthVerdict::Healthy;
            let answer = (policy.policy.clone(), is_healthy, policy.confidence);
            shown.lock().push(answer);
        }
        Ok(decision(&[], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    let expected = [("acme/calm", true, 7_000), ("acme/broken", false, 0)];
    assert_eq!(
        *seen.lock(),
        expected.map(|(policy, is_healthy, confidence)| (
            policy.to_owned(),
            is_healthy,
            confidence
        ))
    );
}
