//! Devices that run the new version although their update ended otherwise.

use std::time::Duration;

use tidegate_core::{
    Named as _,
    plugin::DecisionOutcome,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::DeviceEvent;

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain},
    scripted_sandbox::decision,
};

#[tokio::test]
async fn a_device_whose_success_was_lost_is_explained_by_its_version() {
    let fixture = EngineFixture::new(2).await;
    let request = campaign_request(fixture.add_firmware("1.1.0").await);
    let id = fixture.create_and_start(request).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1), (1, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    let mut updates = fixture.updates(id).await;
    updates.sort_by_key(|row| row.update.device);
    for row in &updates {
        let retrieved = DeviceEvent::Update(row.update.id, UpdateEvent::Retrieved);
        fixture.record(row.update.device, retrieved).await;
    }
    let device = updates[0].update.device;
    fixture.report_version(device, "1.1.0").await;
    fixture.clock.advance(Duration::from_hours(1));
    let now = fixture.engine.now();
    let expired = fixture.engine.store().expire_updates(now, 10).await;
    assert_eq!(expired.expect("deadlines").len(), 2);

    let counts = fixture.counts(id).await;
    assert_eq!((counts.completed, counts.timed_out), (1, 1));
    for (device_id, status, ending) in [
        (
            "device-000",
            UpdateStatus::Completed,
            "; then its device succeeded after all",
        ),
        ("device-001", UpdateStatus::TimedOut, ""),
    ] {
        let explained = explain(&fixture.ctx(), fixture.engine.store(), device_id).await;
        let reasons = explained.expect("an explanation")[0].reasons.join("\n");
        for part in [
            status.as_str(),
            "TIMEOUT: the device stopped reporting",
            ending,
        ] {
            assert!(reasons.contains(part), "{device_id}: {reasons}");
        }
        let succeeds = status == UpdateStatus::Completed;
        assert_eq!(reasons.contains("after all"), succeeds, "{reasons}");
    }
}
