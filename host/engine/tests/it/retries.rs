//! Retries and their explanations.

use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    id::CampaignId,
    plugin::{DecisionOutcome, RollbackScope},
    update::{RetryPolicy, UpdateEvent, UpdateOptions, UpdateStatus},
};
use tidegate_engine::{campaigns, ports::DeviceChange, registry};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, feedback},
    scripted_sandbox::decision,
};

/// A campaign that offered its update to one device and allows two retries.
async fn start_rollout() -> (EngineFixture, CampaignId) {
    let fixture = EngineFixture::new(1).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.options.retries = RetryPolicy {
        max_retries: 2,
        delay: Duration::from_mins(1),
    };
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    (fixture, id)
}

async fn reasons(fixture: &EngineFixture) -> String {
    let explained = explain(&fixture.ctx(), fixture.engine.store(), "device-000").await;
    explained.expect("an explanation")[0].reasons.join("\n")
}

#[tokio::test]
async fn a_retry_is_explained_with_its_time_and_what_it_waits_for() {
    let (fixture, id) = start_rollout().await;
    assert!(
        !reasons(&fixture).await.contains("attempt"),
        "the first attempt is not explained"
    );
    fixture.report_result(id, Finished::Failure).await;
    let counts = fixture.counts(id).await;
    assert_eq!((counts.offered, counts.failed), (1, 0));
    let explanation = reasons(&fixture).await;
    assert!(
        explanation.contains("it is attempt 2 of 3, after FAILED"),
        "{explanation}"
    );
    assert!(
        explanation.contains("; it is offered in 6")
            || explanation.contains("; it is offered in 7"),
        "{explanation}"
    );

    fixture.pause(id, "lunch").await;
    let explanation = reasons(&fixture).await;
    assert!(
        explanation.contains("it waits until the campaign is resumed"),
        "{explanation}"
    );
    fixture.clock.advance(Duration::from_mins(5));
    let expire = async || {
        let store = fixture.engine.store();
        store
            .expire_updates(fixture.engine.now(), 10)
            .await
            .expect("updates expire")
    };
    expire().await;
    assert_eq!(
        fixture.open(id).await[0].update.state.status,
        UpdateStatus::Scheduled
    );

    fixture.resume(id).await;
    assert!(reasons(&fixture).await.contains("it is offered shortly"));
    fixture.clock.advance(Duration::from_mins(10));
    expire().await;
    assert_eq!(
        fixture.open(id).await[0].update.state.status,
        UpdateStatus::Offered
    );
    fixture.report_result(id, Finished::Success).await;
    let counts = fixture.counts(id).await;
    assert_eq!((counts.completed, counts.failed), (1, 0));
}

#[tokio::test]
async fn a_scheduled_retry_holds_no_place() {
    let fixture = EngineFixture::new(10).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.max_concurrent_updates = Some(1);
    request.options = UpdateOptions::forced(Duration::from_hours(5));
    request.options.retries = RetryPolicy {
        max_retries: 2,
        delay: Duration::from_hours(1),
    };
    let id = fixture.create_and_start(request).await;
    let releases = |levels: &'static [(u32, u64)]| {
        fixture
            .sandbox
            .decides(move |_| Ok(decision(levels, DecisionOutcome::Proceed)));
    };
    let statuses = async || {
        let open = fixture.open(id).await.into_iter();
        let mut statuses: Vec<_> = open
            .map(|row| (row.update.device, row.update.state.status))
            .collect();
        statuses.sort_by_key(|(device, _)| *device);
        statuses
    };
    let (waits, offered) = (UpdateStatus::Scheduled, UpdateStatus::Offered);
    releases(&[(0, 1)]);
    fixture.tick(id).await;
    let first = fixture.open(id).await[0].update.device;
    fixture.report_result(id, Finished::Failure).await;
    assert_eq!(statuses().await, [(first, waits)]);

    // The strategy is told, and may release another device.
    fixture.sandbox.decides(|observation| {
        assert_eq!(observation.context.max_in_flight, Some(2));
        let fact = ("waiting-retries".to_owned(), "1".to_owned());
        assert_eq!(observation.context.facts, [fact]);
        Ok(decision(&[(0, 1), (1, 1)], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    let others = statuses().await;
    let (second, _) = *others
        .iter()
        .find(|(device, _)| *device != first)
        .expect("another device");
    let both = |status| {
        let mut both = [(first, waits), (second, status)];
        both.sort_by_key(|(device, _)| *device);
        both
    };
    assert_eq!(others, both(offered));

    // The retry is due, and the other device has the only concurrent update.
    fixture.clock.advance(Duration::from_hours(2));
    let due = fixture.engine.now();
    let store = fixture.engine.store();
    let expired = store
        .expire_updates(due, 10)
        .await
        .expect("retries are due");
    assert_eq!(expired.len(), 1);
    releases(&[(0, 1), (1, 1)]);
    fixture.tick(id).await;
    assert_eq!(statuses().await, both(offered));
    let updates = fixture.updates(id).await;
    let row = updates.iter().find(|row| row.update.device == first);
    let name = row.expect("its update").device_id.clone();
    let explained = explain(&fixture.ctx(), store, &name).await;
    let reasons = explained.expect("an explanation")[0].reasons.join("\n");
    assert!(
        reasons.contains(
            "it waits for another update to end: the campaign allows 1 concurrent updates"
        ),
        "{reasons}"
    );

    // The retry is offered next, before any other device's.
    let open = fixture.open(id).await;
    let other = open.iter().find(|row| row.update.device == second);
    let success = UpdateEvent::Feedback(feedback(Finished::Success));
    fixture.report(other.expect("its update"), success).await;
    releases(&[(0, 1), (1, 2)]);
    fixture.tick(id).await;
    assert_eq!(statuses().await, [(first, offered)]);
}

#[tokio::test]
async fn a_pinned_device_is_not_rolled_back_and_the_reason_is_explained() {
    let (fixture, id) = start_rollout().await;
    let update = fixture.updates(id).await.remove(0);
    let done = UpdateEvent::Feedback(feedback(Finished::Success));
    fixture.report(&update, done).await;
    let pin = DeviceChange {
        pinned: Some(true),
        ..DeviceChange::at(fixture.engine.now())
    };
    registry::change(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.caches(),
        fixture.engine.signals(),
        "device-000",
        pin,
    )
    .await
    .expect("the device is pinned");
    campaigns::roll_back(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.signals(),
        id,
        RollbackScope::Everything,
        "it is bad",
    )
    .await
    .expect("the rollback starts");
    fixture.tick(id).await;
    assert_eq!(fixture.status(id).await, CampaignStatus::RolledBack);
    assert_eq!(
        fixture.version_of("device-000").await.as_deref(),
        Some("1.1.0")
    );
    let summary = fixture.campaign(id).await.explain.join("\n");
    assert!(
        summary.contains("1 are pinned and keep the campaign's firmware"),
        "{summary}"
    );
    let explanation = reasons(&fixture).await;
    assert!(
        explanation.contains("it was pinned when the campaign was rolled back"),
        "{explanation}"
    );
}
