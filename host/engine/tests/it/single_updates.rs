//! Single updates: rollback of one device, and its obstacles.

use std::time::Duration;

use tidegate_core::{
    feedback::Finished,
    firmware::FirmwareDetails,
    id::FirmwareId,
    plugin::DecisionOutcome,
    update::{SuccessCriteria, UpdateEvent, UpdateOptions, UpdateStatus},
};
use tidegate_engine::{
    Error, Result,
    ports::{DeviceChange, NewFirmware, Offer, OfferCompatibility, OfferResult, UpdateRow},
    registry, updates,
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, feedback},
    scripted_sandbox::decision,
};

const DEVICE: &str = "device-000";

impl EngineFixture {
    /// Offers a firmware to the device, which reports this result. Returns the update.
    async fn offer_and_finish(
        &self,
        firmware: FirmwareId,
        success_criteria: SuccessCriteria,
        finished: Finished,
    ) -> UpdateRow {
        let row = self.offered(firmware, success_criteria).await;
        self.report(&row, UpdateEvent::Feedback(feedback(finished)))
            .await;
        self.update(&row).await
    }

    async fn offered(&self, firmware: FirmwareId, success_criteria: SuccessCriteria) -> UpdateRow {
        let (store, tenant) = (self.engine.store(), self.tenant());
        let device = store
            .device(tenant, DEVICE)
            .await
            .expect("the database answers");
        let found = store
            .firmware(tenant, firmware)
            .await
            .expect("the database answers");
        let offer = Offer {
            firmware,
            to_version: found.expect("the firmware").details.version,
            weight: 500,
            success_criteria,
            options: UpdateOptions::forced(Duration::from_mins(30)),
            compatibility: OfferCompatibility::default(),
            now: self.engine.now(),
        };
        let key = device.expect("the device").key;
        let made = store.create_update(tenant, key, &offer).await;
        let Ok(OfferResult::Created(id, _)) = made else {
            panic!("{made:?}");
        };
        let row = updates::get(&self.ctx(), self.engine.store(), id).await;
        row.expect("the update")
    }

    async fn update(&self, row: &UpdateRow) -> UpdateRow {
        let row = updates::get(&self.ctx(), self.engine.store(), row.update.id).await;
        row.expect("the update")
    }

    async fn roll_back_to(&self, version: Option<&str>, force: bool) -> Result<UpdateRow> {
        updates::roll_back(
            &self.ctx(),
            self.engine.update_writer(),
            self.engine.plugins(),
            DEVICE,
            version,
            force,
            "it hums",
        )
        .await
    }

    /// Stores a firmware of this name and version for this model.
    async fn add_firmware_for(&self, name: &str, version: &str, model: Option<&str>) -> FirmwareId {
        let firmware = NewFirmware {
            details: FirmwareDetails {
                name: name.to_owned(),
                version: version.to_owned(),
                device_model: model.map(str::to_owned),
                ..FirmwareDetails::default()
            },
            modules: Vec::new(),
            created_by: "op".to_owned(),
            created_at: self.engine.now(),
        };
        let store = self.engine.store();
        let made = store.create_firmware(&self.ctx(), firmware).await;
        made.expect("a firmware")
    }
}

fn refusal(result: Result<UpdateRow>) -> (&'static str, String) {
    match result {
        Err(Error::Conflict { code, message, .. }) => (code, message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_rollback_picks_the_same_product_for_the_same_model() {
    let fixture = EngineFixture::new(1).await;
    let new = fixture.add_firmware("1.1.0").await;
    fixture.add_firmware_for("gateway", "1.0.0", None).await;
    fixture
        .add_firmware_for("edge", "1.0.0", Some("jetson"))
        .await;
    fixture
        .offer_and_finish(new, SuccessCriteria::Reported, Finished::Success)
        .await;
    for version in [None, Some("1.0.0")] {
        let (code, why) = refusal(fixture.roll_back_to(version, true).await);
        assert_eq!(code, "nothing_to_go_back_to");
        assert!(why.contains("there is no edge 1.0.0 for"), "{why}");
    }
    let fits = fixture.add_firmware_for("edge", "v1.0", Some("rpi4")).await;
    let back = fixture
        .roll_back_to(None, false)
        .await
        .expect("the rollback starts");
    assert_eq!(back.update.firmware, fits);
}

#[tokio::test]
async fn a_previous_version_is_found_in_any_spelling() {
    let fixture = EngineFixture::new(1).await;
    let first = fixture.add_firmware("1.1.0").await;
    let second = fixture.add_firmware("1.2.0").await;
    let third = fixture.add_firmware("1.3.0").await;
    for firmware in [first, second, third] {
        fixture
            .offer_and_finish(firmware, SuccessCriteria::Reported, Finished::Success)
            .await;
    }
    let back = fixture.roll_back_to(Some("v1.1"), false).await;
    assert_eq!(back.expect("the rollback starts").update.firmware, first);
}

#[tokio::test]
async fn a_device_without_a_previous_firmware_cannot_be_rolled_back() {
    let fixture = EngineFixture::new(1).await;
    fixture.add_firmware("0.9.0").await;
    for version in [None, Some("0.9.0")] {
        let (code, _) = refusal(fixture.roll_back_to(version, false).await);
        assert_eq!(code, "nothing_to_go_back_to", "{version:?}");
    }
}

#[tokio::test]
async fn a_rollback_cancels_an_installed_but_unproven_update() {
    let fixture = EngineFixture::new(1).await;
    let old = fixture.add_firmware("1.1.0").await;
    let new = fixture.add_firmware("1.2.0").await;
    fixture
        .offer_and_finish(old, SuccessCriteria::Reported, Finished::Success)
        .await;
    let unproven = fixture
        .offer_and_finish(new, SuccessCriteria::Attested, Finished::Success)
        .await;
    assert_eq!(unproven.update.state.status, UpdateStatus::Verifying);
    let ctx = fixture.ctx();
    let cancelled = updates::cancel(
        &ctx,
        fixture.engine.update_writer(),
        unproven.update.id,
        true,
        "",
    );
    assert_eq!(refusal(cancelled.await).0, "update_installed");

    let back = fixture
        .roll_back_to(None, false)
        .await
        .expect("the rollback starts");
    assert_eq!(back.update.firmware, old);
    let gone = fixture.update(&unproven).await.update.state;
    assert_eq!(
        gone.status,
        UpdateStatus::Cancelled,
        "the rollback cancels it"
    );
    fixture
        .report(&back, UpdateEvent::Feedback(feedback(Finished::Success)))
        .await;
    let (code, _) = refusal(fixture.roll_back_to(Some("1.1.0"), false).await);
    assert_eq!(code, "already_installed", "it is installed again");
}

#[tokio::test]
async fn a_rollback_cancels_open_updates() {
    let fixture = EngineFixture::new(1).await;
    let first = fixture.add_firmware("1.1.0").await;
    let second = fixture.add_firmware("1.2.0").await;
    let third = fixture.add_firmware("1.3.0").await;
    for firmware in [first, second] {
        fixture
            .offer_and_finish(firmware, SuccessCriteria::Reported, Finished::Success)
            .await;
    }
    let open = fixture.offered(third, SuccessCriteria::Reported).await;
    let back = fixture
        .roll_back_to(None, false)
        .await
        .expect("the rollback starts");
    assert_eq!(back.update.firmware, first);
    let open = fixture.update(&open).await;
    assert_eq!(open.update.state.status, UpdateStatus::Cancelling);
    let log = updates::log(
        &fixture.ctx(),
        fixture.engine.store(),
        open.update.id,
        None,
        10,
    )
    .await;
    let lines = log.expect("the log").lines;
    let expected = format!("cancelled for update {} by op: it hums", back.update.id);
    assert!(lines.iter().any(|line| line.text == expected), "{lines:?}");
}

#[tokio::test]
async fn force_overrides_a_pin_where_the_command_has_it() {
    let fixture = EngineFixture::new(1).await;
    let first = fixture.add_firmware("1.1.0").await;
    let second = fixture.add_firmware("1.2.0").await;
    fixture
        .offer_and_finish(first, SuccessCriteria::Reported, Finished::Success)
        .await;
    let failed = fixture
        .offer_and_finish(second, SuccessCriteria::Reported, Finished::Failure)
        .await;
    fixture
        .offer_and_finish(second, SuccessCriteria::Reported, Finished::Success)
        .await;
    let pin = DeviceChange {
        pinned: Some(true),
        ..DeviceChange::at(fixture.engine.now())
    };
    let pinned = registry::change(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.caches(),
        fixture.engine.signals(),
        DEVICE,
        pin,
    )
    .await;
    pinned.expect("the device is pinned");

    let keep = updates::RetryOptions::default();
    let retried = updates::retry(
        &fixture.ctx(),
        fixture.engine.update_writer(),
        fixture.engine.plugins(),
        failed.update.id,
        keep,
    )
    .await;
    let (code, why) = refusal(retried);
    assert_eq!(code, "pinned");
    assert!(
        why.contains("start an update to the firmware with `force`"),
        "{why}"
    );
    let (code, why) = refusal(fixture.roll_back_to(None, false).await);
    assert_eq!(code, "pinned");
    assert!(why.contains("`force` overrides it"), "{why}");
    let back = fixture
        .roll_back_to(None, true)
        .await
        .expect("the rollback is forced");
    assert_eq!(back.update.firmware, first);
}

#[tokio::test]
async fn a_forced_cancel_does_not_wait_for_the_device() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let row = fixture.offered(firmware, SuccessCriteria::Reported).await;
    let id = row.update.id;
    let ctx = fixture.ctx();
    let cancel = |force| {
        updates::cancel(
            &ctx,
            fixture.engine.update_writer(),
            id,
            force,
            "it is gone",
        )
    };
    assert_eq!(refusal(cancel(true).await).0, "update_not_cancelling");
    for _ in 0..2 {
        let cancelled_update = cancel(false).await.expect("the update is cancelled");
        assert_eq!(
            cancelled_update.update.state.status,
            UpdateStatus::Cancelling
        );
    }
    let quit = cancel(true).await.expect("the update ends");
    assert_eq!(quit.update.state.status, UpdateStatus::Cancelled);
    for force in [true, false] {
        assert_eq!(refusal(cancel(force).await).0, "update_ended");
    }
}

#[tokio::test]
async fn updates_behind_another_one_are_explained_and_do_not_time_out() {
    let fixture = EngineFixture::new(10).await;
    let shown = fixture
        .offered(
            fixture.add_firmware("1.1.0").await,
            SuccessCriteria::Reported,
        )
        .await;
    let second = fixture
        .offered(
            fixture.add_firmware("1.2.0").await,
            SuccessCriteria::Reported,
        )
        .await;
    let campaign = fixture
        .create_and_start(campaign_request(fixture.add_firmware("1.3.0").await))
        .await;
    fixture.sandbox.decides(|_| {
        let all = [(0, 1), (1, 2), (2, 7)];
        Ok(decision(&all, DecisionOutcome::Proceed))
    });
    fixture.tick(campaign).await;

    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let device = store.device(fixture.tenant(), DEVICE).await;
    let device = device.expect("the database answers").expect("the device");
    let reasons = updates::explain_open_updates(&ctx, store, &device).await;
    let behind = format!(
        "waits behind update {}; its time does not run meanwhile",
        shown.update.id
    );
    assert_eq!(
        reasons.expect("reasons"),
        [
            format!("its current update is {}: it is offered", shown.update.id),
            format!("update {} {behind}", second.update.id),
        ]
    );
    let explained = explain(&ctx, store, DEVICE).await;
    let reasons = &explained.expect("an explanation")[0].reasons;
    assert!(reasons.contains(&format!("it {behind}")), "{reasons:?}");

    // The one that is shown fails; the next one has not lost a minute.
    fixture.clock.advance(Duration::from_mins(29));
    fixture
        .report(&shown, UpdateEvent::Feedback(feedback(Finished::Failure)))
        .await;
    let second = fixture.update(&second).await.update.state;
    assert_eq!(
        second.timeout_at,
        fixture.engine.now().plus(Duration::from_mins(30))
    );
    let explained = explain(&ctx, store, DEVICE).await;
    let reasons = explained.expect("an explanation").remove(0).reasons;
    assert!(
        reasons.iter().any(|reason| reason.contains("waits behind")),
        "{reasons:?}"
    );
}
