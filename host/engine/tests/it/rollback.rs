use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::{Execution, Feedback, Finished},
    plugin::{DecisionOutcome, HealthVerdict, RollbackRequest, RollbackScope},
    update::{Purpose, SuccessCriteria, UpdateEvent, UpdateStatus},
};
use tidegate_engine::campaigns::{self, CampaignRequest};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, feedback},
    scripted_sandbox::{decision, health},
};

/// Devices on 1.1.0, and a campaign for 1.2.0 with its first two waves released.
async fn half_rolled_out() -> (EngineFixture, tidegate_core::id::CampaignId) {
    let fixture = EngineFixture::new(10).await;
    let all_at_once = |sizes: &[(u32, u64)]| {
        let sizes = sizes.to_vec();
        move |_: &_| Ok(decision(&sizes, DecisionOutcome::Proceed))
    };
    let first = fixture
        .create_and_start(campaign_request(fixture.add_firmware("1.1.0").await))
        .await;
    fixture
        .sandbox
        .decides(all_at_once(&[(0, 1), (1, 2), (2, 7)]));
    fixture.tick(first).await;
    fixture.report_result(first, Finished::Success).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[], DecisionOutcome::Complete)));
    fixture.tick(first).await;
    assert_eq!(fixture.status(first).await, CampaignStatus::Completed);

    let second = fixture
        .create_and_start(campaign_request(fixture.add_firmware("1.2.0").await))
        .await;
    fixture.sandbox.decides(all_at_once(&[(0, 1), (1, 2)]));
    fixture.tick(second).await;
    (fixture, second)
}

#[tokio::test]
async fn a_policy_rolls_back_completed_and_in_flight_devices() {
    let (fixture, id) = half_rolled_out().await;
    let updates = fixture.updates(id).await;
    fixture
        .report(
            &updates[0],
            UpdateEvent::Feedback(feedback(Finished::Success)),
        )
        .await;
    fixture
        .report(
            &updates[1],
            UpdateEvent::Feedback(feedback(Finished::Failure)),
        )
        .await;
    let request = RollbackRequest {
        scope: RollbackScope::Everything,
        reason: "1 of 2 failed".to_owned(),
    };
    fixture
        .sandbox
        .evaluates(move |_| Ok(health(HealthVerdict::RollBack(request.clone()))));
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RollingBack);
    assert_eq!(
        fixture
            .campaign(id)
            .await
            .rollback
            .expect("a reason is stored")
            .by,
        "calm"
    );

    fixture.tick(id).await;
    let open = fixture.open(id).await;
    let kinds: Vec<_> = open
        .iter()
        .map(|row| (row.update.campaign.map(|c| c.1), row.update.state.status))
        .collect();
    assert_eq!(
        kinds,
        [
            (Some(Purpose::Forward { wave: 1 }), UpdateStatus::Cancelling),
            (Some(Purpose::Rollback), UpdateStatus::Offered),
        ]
    );
    assert_eq!(open[1].update.to_version, "1.1.0");
    assert_eq!(open[1].update.device, updates[0].update.device);

    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
    for row in &updates {
        assert_eq!(
            fixture.version_of(&row.device_id).await.as_deref(),
            Some("1.1.0")
        );
    }
}

#[tokio::test]
async fn a_device_that_completes_while_being_cancelled_is_rolled_back() {
    let (fixture, id) = half_rolled_out().await;
    let reason = "an operator changed their mind";
    campaigns::roll_back(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
        id,
        RollbackScope::Everything,
        reason,
    )
    .await
    .expect("the rollback starts");
    fixture.tick(id).await;
    let cancelled = fixture.open(id).await;
    assert_eq!(cancelled.len(), 3);
    fixture
        .report(
            &cancelled[0],
            UpdateEvent::Feedback(feedback(Finished::Success)),
        )
        .await;
    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RollingBack);
    let open = fixture.open(id).await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].update.device, cancelled[0].update.device);
    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
}

#[tokio::test]
async fn a_device_that_installed_and_fell_silent_is_rolled_back() {
    let fixture = EngineFixture::new(1).await;
    let campaign = CampaignRequest {
        success_criteria: SuccessCriteria::Attested,
        ..campaign_request(fixture.add_firmware("1.1.0").await)
    };
    // The previous firmware: the devices report version 1.0.0, spelt in another way here.
    let before = fixture.add_firmware("v1.0").await;
    let id = fixture.create_and_start(campaign).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.report_result(id, Finished::Success).await;
    campaigns::roll_back(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
        id,
        RollbackScope::InFlight,
        "it hums",
    )
    .await
    .expect("the rollback starts");
    fixture.tick(id).await;
    assert_eq!(
        fixture.open(id).await[0].update.state.status,
        UpdateStatus::Verifying,
        "it may still meet its success criteria"
    );
    fixture.clock.advance(Duration::from_mins(31));
    let expired = fixture
        .engine
        .store()
        .expire_updates(fixture.engine.now(), 10)
        .await;
    assert_eq!(expired.map(|expired| expired.len()).ok(), Some(1));
    fixture.tick(id).await;
    let open = fixture.open(id).await;
    assert_eq!(open.len(), 1);
    let update = &open[0].update;
    assert_eq!(update.campaign, Some((id, Purpose::Rollback)));
    assert_eq!(update.firmware, before);
    fixture.report_result(id, Finished::Success).await;
    // The rollback has to meet its success criteria too.
    fixture.report_version(update.device, "1.0.0").await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
}

#[tokio::test]
async fn cancelling_a_campaign_cancels_its_open_updates() {
    let (fixture, id) = half_rolled_out().await;
    campaigns::cancel(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
        id,
        "enough",
    )
    .await
    .expect("the campaign is cancelled");
    fixture.tick(id).await;
    assert!(
        fixture
            .open(id)
            .await
            .iter()
            .all(|row| row.update.state.status == UpdateStatus::Cancelling)
    );
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.counts(id).await.cancelled, 3);
    fixture
        .sandbox
        .decides(|_| panic!("a cancelled campaign calls no plugin"));
    fixture.tick(id).await;
    assert_eq!(fixture.updates(id).await.len(), 3);
}

#[tokio::test]
async fn without_auto_rollback_a_rollback_request_holds_the_campaign() {
    let fixture = EngineFixture::new(3).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.auto_rollback = false;
    let id = fixture.create_and_start(request).await;
    let request = RollbackRequest {
        scope: RollbackScope::Everything,
        reason: "bad".to_owned(),
    };
    fixture
        .sandbox
        .decides(move |_| Ok(decision(&[], DecisionOutcome::RollBack(request.clone()))));
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Held);
}

#[tokio::test]
async fn a_campaign_is_rolled_back_only_when_every_device_is_known_to_be() {
    let (fixture, id) = half_rolled_out().await;
    let rows = fixture.updates(id).await;
    for row in &rows {
        // SWUpdate: "All Chunks Installed". It boots the new version later.
        let mut report = Feedback::new(Execution::Proceeding, Finished::None);
        report.progress = Some((1, 1));
        fixture.report(row, UpdateEvent::Feedback(report)).await;
    }
    campaigns::roll_back(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
        id,
        RollbackScope::InFlight,
        "it hums",
    )
    .await
    .expect("the rollback starts");
    fixture.tick(id).await;
    for row in &rows {
        let answer = UpdateEvent::CancelFeedback(feedback(Finished::Success));
        fixture.report(row, answer).await;
    }
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RollingBack);
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.awaiting_version, rows.len() as u64);
    let awaited = format!(
        "{} acknowledged the cancellation, but may have installed",
        rows.len()
    );
    assert!(
        campaign.explain[0].contains(&awaited),
        "{:?}",
        campaign.explain
    );
    let store = fixture.engine.store();
    let explained = explain(&fixture.ctx(), store, &rows[0].device_id).await;
    let reasons = explained.expect("an explanation")[0].reasons.join("\n");
    assert!(
        reasons.contains("its next report of its version decides"),
        "{reasons}"
    );

    for row in &rows {
        fixture.report_version(row.update.device, "1.2.0").await;
    }
    fixture.tick(id).await;
    assert_eq!(fixture.campaign(id).await.awaiting_version, 0);
    assert_eq!(fixture.status(id).await, CampaignStatus::RollingBack);
    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
    for row in &rows {
        let version = fixture.version_of(&row.device_id).await;
        assert_eq!(version.as_deref(), Some("1.1.0"), "{}", row.device_id);
    }
}
