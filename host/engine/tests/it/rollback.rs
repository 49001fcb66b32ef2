use std::time::Duration;

use tidegate_core::{
    campaign::{CampaignStatus, RollbackCounts},
    feedback::{Execution, Feedback, Finished},
    id::CampaignId,
    plugin::{DecisionOutcome, HealthVerdict, RollbackRequest, RollbackScope},
    update::{Purpose, RetryPolicy, SuccessCriteria, UpdateEvent, UpdateOptions, UpdateStatus},
};
use tidegate_engine::{
    campaigns::{self, CampaignRequest},
    ports::UpdateRow,
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, feedback},
    scripted_sandbox::{decision, health},
};

/// Devices on 1.1.0, and a campaign for 1.2.0 with its first two waves released.
async fn half_rolled_out() -> (EngineFixture, CampaignId) {
    let fixture = EngineFixture::new(10).await;
    let all_at_once = |sizes: &[(u32, u64)]| {
        let sizes = sizes.to_vec();
        move |_: &_| Ok(decision(&sizes, DecisionOutcome::Proceed))
    };
    let first = fixture.start_campaign().await;
    fixture
        .sandbox
        .decides(all_at_once(&[(0, 1), (1, 2), (2, 7)]));
    fixture.tick(first).await;
    fixture.report_result(first, Finished::Success).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[], DecisionOutcome::Complete(None))));
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
        "acme/calm"
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
    let counts = |open, completed| RollbackCounts {
        open,
        completed,
        failed: 0,
    };
    assert_eq!(fixture.campaign(id).await.rollback_counts, counts(1, 0));

    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
    let after = fixture.campaign(id).await.rollback_counts;
    assert_eq!((after.open, after.completed), (0, after.total()));
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

/// The reasons of the device's state in the newest campaign.
async fn reasons(fixture: &EngineFixture, device_id: &str) -> String {
    let store = fixture.engine.store();
    let explained = explain(&fixture.ctx(), store, device_id).await;
    explained.expect("an explanation")[0].reasons.join("\n")
}

async fn roll_back(fixture: &EngineFixture, id: CampaignId, scope: RollbackScope) {
    let (store, signals) = (fixture.engine.store(), fixture.engine.signals());
    campaigns::roll_back(&fixture.ctx(), store, signals, id, scope, "it hums")
        .await
        .expect("the rollback starts");
    fixture.tick(id).await;
}

/// Checks that a campaign that was rolled back continues, returns this device to this version, and has ended again.
async fn check_rollback_continues(
    fixture: &EngineFixture,
    id: CampaignId,
    row: &UpdateRow,
    version: &str,
) {
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RollingBack);
    assert_eq!(fixture.campaign(id).await.ended_at, None);
    let explained = reasons(fixture, &row.device_id).await;
    let expected = "the campaign is being rolled back, and this device will be too";
    assert!(explained.contains(expected), "{explained}");
    fixture.tick(id).await;
    let open = fixture.open(id).await;
    let [back] = &open[..] else {
        panic!("{open:?}");
    };
    let purpose = back.update.campaign.map(|(_, purpose)| purpose);
    assert_eq!(
        (back.update.device, purpose, back.update.to_version.as_str()),
        (row.update.device, Some(Purpose::Rollback), version)
    );
    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::RolledBack);
    assert!(campaign.ended_at.is_some());
    assert_eq!(campaign.explain, ["1 devices were rolled back"]);
    let device = fixture.engine.store();
    let device = device.device(fixture.tenant(), &row.device_id).await;
    let device = device.expect("read").expect("the device");
    assert_eq!(
        (device.sw_version.as_deref(), device.drift),
        (Some(version), None)
    );
    let explained = reasons(fixture, &row.device_id).await;
    assert!(
        explained.contains("this update returns the device"),
        "{explained}"
    );
}

#[tokio::test]
async fn a_campaign_that_was_rolled_back_continues_for_a_success_that_arrives_late() {
    for (scope, max_retries) in [
        (RollbackScope::Everything, 2),
        (RollbackScope::InFlight, 2),
        (RollbackScope::InFlight, 0),
    ] {
        let fixture = EngineFixture::new(1).await;
        let retries = RetryPolicy {
            max_retries,
            delay: Duration::from_mins(1),
        };
        let request = CampaignRequest {
            options: UpdateOptions {
                retries,
                ..UpdateOptions::forced(Duration::from_mins(30))
            },
            ..campaign_request(fixture.add_firmware("1.1.0").await)
        };
        fixture.add_firmware("1.0.0").await;
        let id = fixture.create_and_start(request).await;
        fixture
            .sandbox
            .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
        fixture.tick(id).await;
        fixture.clock.advance(Duration::from_mins(31));
        campaigns::expire_batch(&fixture.engine)
            .await
            .expect("a round");
        roll_back(&fixture, id, scope).await;
        assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
        assert_eq!(fixture.open(id).await, []);

        fixture.clock.advance(Duration::from_mins(1));
        let row = fixture.updates(id).await.remove(0);
        let success = UpdateEvent::Feedback(feedback(Finished::Success));
        fixture.report(&row, success).await;
        let counts = fixture.counts(id).await;
        assert_eq!((counts.completed, counts.total()), (1, 1));
        check_rollback_continues(&fixture, id, &row, "1.0.0").await;
        let journal = fixture.host_outcomes(id).await;
        let expected = ["rolled_back", "rollback_continued", "rolled_back"];
        assert_eq!(journal[journal.len() - 3..], expected, "{journal:?}");
    }
}

#[tokio::test]
async fn a_campaign_that_was_rolled_back_continues_for_a_version_that_appears_late() {
    let (fixture, id) = half_rolled_out().await;
    let rows = fixture.updates(id).await;
    roll_back(&fixture, id, RollbackScope::InFlight).await;
    for row in &rows {
        let answer = UpdateEvent::CancelFeedback(feedback(Finished::Success));
        fixture.report(row, answer).await;
        fixture.report_version(row.update.device, "1.1.0").await;
    }
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);

    // It acknowledged the cancellation, and boots the new version nevertheless.
    fixture.report_version(rows[0].update.device, "1.2.0").await;
    let store = fixture.engine.store();
    let device = store.device(fixture.tenant(), &rows[0].device_id).await;
    assert!(device.expect("read").expect("the device").drift.is_some());
    check_rollback_continues(&fixture, id, &rows[0], "1.1.0").await;
    let counts = fixture.counts(id).await;
    assert_eq!((counts.cancelled, counts.completed), (3, 0));
}

#[tokio::test]
async fn a_campaign_that_was_rolled_back_counts_a_late_success_of_its_rollback() {
    let (fixture, id) = half_rolled_out().await;
    fixture.report_result(id, Finished::Success).await;
    roll_back(&fixture, id, RollbackScope::Everything).await;
    let silent = fixture.open(id).await.remove(0);
    let open = fixture.open(id).await.into_iter().skip(1);
    for row in open {
        let success = UpdateEvent::Feedback(feedback(Finished::Success));
        fixture.report(&row, success).await;
    }
    fixture.clock.advance(Duration::from_mins(31));
    campaigns::expire_batch(&fixture.engine)
        .await
        .expect("a round");
    fixture.tick(id).await;
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::RolledBack);
    assert_eq!(
        campaign.explain,
        ["2 devices were rolled back; 1 rollbacks failed"]
    );

    let success = UpdateEvent::Feedback(feedback(Finished::Success));
    fixture.report(&silent, success).await;
    fixture.tick(id).await;
    let campaign = fixture.campaign(id).await;
    assert_eq!(campaign.status, CampaignStatus::RolledBack);
    assert_eq!(campaign.explain, ["3 devices were rolled back"]);
}
