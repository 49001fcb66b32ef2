//! Rollbacks of campaigns and of single devices.

use super::*;

#[tokio::test]
async fn a_rollback_of_a_campaign_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let (fixture, first, key) = offered(options()).await;
        fixture.report_result(first, Finished::Success).await;
        let mut second = campaign_request(fixture.add_firmware("1.1.5").await);
        second.name = "second".to_owned();
        let second = fixture.create_and_start(second).await;
        fixture.release_all(second, &[(0, 1)]).await;
        fixture.report_result(second, Finished::Success).await;
        fixture.report_without_calls(key, attribute, value).await;
        let (ctx, store) = (fixture.ctx(), fixture.engine.store());
        let scope = RollbackScope::Everything;
        campaigns::roll_back(&ctx, store, fixture.engine.signals(), second, scope, "bad")
            .await
            .expect("the rollback starts");
        fixture.tick(second).await;
        let row = fixture.updates_of(key).await.remove(0).update;
        assert_eq!(
            row.campaign.map(|(_, purpose)| purpose),
            Some(Purpose::Rollback)
        );
        assert_eq!(
            (row.to_version.as_str(), row.state.status),
            ("1.1.0", UpdateStatus::Scheduled)
        );
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("tidegate/hardware: {reason}"))
        );
    }
}

#[tokio::test]
async fn a_rollback_of_a_device_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let (fixture, first, key) = offered(options()).await;
        fixture.report_result(first, Finished::Success).await;
        let newer: FirmwareId = fixture.add_firmware("1.1.5").await;
        let row = fixture.create_update(&single(newer)).await;
        let done = UpdateEvent::Feedback(feedback(Finished::Success));
        fixture.report(&row, done).await;
        fixture.report_without_calls(key, attribute, value).await;
        let calls = fixture.calls.lock().len();
        let update = fixture.roll_back_device(None, false).await;
        assert_eq!(fixture.calls.lock().len(), calls, "asked in the request");
        assert_eq!(
            (update.to_version.as_str(), update.state.status),
            ("1.1.0", UpdateStatus::Scheduled)
        );
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("tidegate/hardware: {reason}"))
        );
        if attribute == "hw_model" {
            fixture.report_attribute(key, "hw_model", "rpi4").await;
            let update = fixture.roll_back_device(None, false).await;
            assert_eq!(update.state.status, UpdateStatus::Offered);
        }
    }
}

#[tokio::test]
async fn a_rollback_to_firmware_that_the_device_never_had_is_withdrawn_from_another_board() {
    let (fixture, first, key) = offered(options()).await;
    fixture.report_result(first, Finished::Success).await;
    fixture.add_firmware("1.0.9").await;
    let update = fixture.roll_back_device(Some("1.0.9"), false).await;
    assert_eq!(update.state.status, UpdateStatus::Offered);
    fixture.report_without_calls(key, "hw_model", "cm4").await;
    fixture.offer_due().await;
    let reason = "tidegate/hardware: the hardware is cm4";
    assert_eq!(fixture.newest(key).await, skipped(reason));
}
