use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    plugin::{DecisionOutcome, HealthVerdict, RollbackRequest, RollbackScope},
    update::Purpose,
    window::{MaintenanceWindow, WindowSpec},
};
use tidegate_engine::{campaigns::CampaignRequest, ports::UpdateRow};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain},
    scripted_sandbox::{decision, health},
};

const HOUR: Duration = Duration::from_hours(1);

/// The fixture's clock starts at a quarter past midnight.
fn from_two_to_three(request: CampaignRequest) -> CampaignRequest {
    let window = MaintenanceWindow::new(WindowSpec {
        schedule: "0 2 * * *".to_owned(),
        duration: HOUR,
        timezone: "UTC".to_owned(),
        prefetch: false,
    });
    let mut request = request;
    request.options.window = Some(Arc::new(window.expect("a valid window")));
    request
}

async fn reasons(fixture: &EngineFixture, row: &UpdateRow) -> String {
    let explained = explain(&fixture.ctx(), fixture.engine.store(), &row.device_id).await;
    explained.expect("an explanation")[0].reasons.join("; ")
}

#[tokio::test]
async fn a_device_waiting_for_its_window_is_explained_and_does_not_time_out() {
    let fixture = EngineFixture::new(10).await;
    let request = from_two_to_three(campaign_request(fixture.add_firmware("1.1.0").await));
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    let row = &fixture.updates(id).await[0];
    let waits = "its maintenance window is closed and opens at 1970-01-01 02:00:00 UTC (UTC)";
    let explanation = reasons(&fixture, row).await;
    assert!(explanation.contains(waits), "{explanation}");

    fixture.clock.advance(2 * HOUR);
    let explanation = reasons(&fixture, row).await;
    assert!(
        !explanation.contains("window"),
        "the window is open: {explanation}"
    );
    assert_eq!(fixture.counts(id).await.timed_out, 0);
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.counts(id).await.completed, 1);
}

#[tokio::test]
async fn a_rollback_waits_for_no_window() {
    let fixture = EngineFixture::new(10).await;
    let all = &[(0, 1), (1, 2), (2, 7)];
    fixture
        .sandbox
        .decides(|_| Ok(decision(all, DecisionOutcome::Proceed)));
    let first = fixture.start_campaign().await;
    fixture.tick(first).await;
    fixture.report_result(first, Finished::Success).await;
    let request = from_two_to_three(campaign_request(fixture.add_firmware("1.2.0").await));
    let second = fixture.create_and_start(request).await;
    fixture.tick(second).await;
    fixture.clock.advance(2 * HOUR);
    fixture.report_result(second, Finished::Success).await;

    fixture.clock.advance(2 * HOUR);
    fixture.sandbox.evaluates(move |_| {
        Ok(health(HealthVerdict::RollBack(RollbackRequest {
            scope: RollbackScope::Everything,
            reason: "the pumps stand still".to_owned(),
        })))
    });
    fixture.tick(second).await;
    fixture.tick(second).await;
    assert_eq!(fixture.status(second).await, CampaignStatus::RollingBack);
    let back = fixture.open(second).await;
    assert_eq!(back.len(), 10);
    for row in back {
        let purpose = row.update.campaign.map(|(_, purpose)| purpose);
        assert_eq!(purpose, Some(Purpose::Rollback));
        assert_eq!(row.update.state.options.window, None);
    }
}
