//! A device of another class than policies accepted is checked again before it is offered an update.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    campaign::Priority,
    feedback::{Execution, Feedback, Finished},
    firmware::FirmwareDetails,
    id::{CampaignId, DeviceKey, FirmwareId, UpdateId},
    mode::DeviceMode,
    plugin::{CheckInput, Compatibility, DecisionOutcome, PluginKind, RollbackScope},
    update::{
        Confirmation, OnDenied, Purpose, RetryPolicy, SuccessCriteria, Update, UpdateEvent,
        UpdateOptions, UpdateStatus,
    },
};
use tidegate_engine::{
    campaigns::{self, MembershipStatus},
    latest,
    ports::{CallFailure, DeviceChange, PageRequest, UpdateFilter, UpdateRow},
    updates::{self, RetryOptions, UpdateRequest},
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, feedback},
    scripted_sandbox::decision,
};

const OTHER_BOARD: &str = "fits: the hardware is cm4";
const DOWNGRADE: &str = "fits: 1.2.0 is newer";

/// What makes a device another one: an attribute, its new value, and the reason of policies against it. Devices have
/// reported no revision and no site before.
const CHANGES: [(&str, &str, &str); 3] = [
    ("hw_model", "cm4", "the hardware is cm4"),
    ("hw_revision", "2", "the revision is 2"),
    ("site", "field", "the site is field"),
];

/// Policies that accept only an rpi4 of revision 1 or an unknown one, outside the field, that runs at most 1.1.
fn accepts(input: &CheckInput) -> Vec<Compatibility> {
    let classes = input.classes.iter().map(|class| {
        if class.key.hardware_model.as_deref() != Some("rpi4") {
            let model = class.key.hardware_model.as_deref().unwrap_or("unknown");
            Compatibility::Incompatible(format!("the hardware is {model}"))
        } else if class.key.version.as_deref() == Some("1.2.0") {
            Compatibility::Incompatible("1.2.0 is newer".to_owned())
        } else if class.key.hardware_revision.as_deref() == Some("2") {
            Compatibility::Incompatible("the revision is 2".to_owned())
        } else if class.key.attributes == [("site".to_owned(), "field".to_owned())] {
            Compatibility::Incompatible("the site is field".to_owned())
        } else {
            Compatibility::Compatible
        }
    });
    classes.collect()
}

impl EngineFixture {
    async fn with_policies(devices: usize) -> Self {
        let fixture = Self::with_attributes(devices, &["site"]).await;
        fixture
            .add_plugin_with_attributes("latest", PluginKind::Compatibility, &["site"])
            .await;
        fixture.sandbox.checks(|input| Ok(accepts(input)));
        fixture
    }

    async fn key(&self, device_id: &str) -> DeviceKey {
        let found = self.engine.store().device(self.tenant(), device_id).await;
        found.expect("the database answers").expect("a device").key
    }

    /// One iteration of the loop of deadlines.
    async fn offer_due(&self) {
        let checked = campaigns::recheck_updates(&self.engine).await;
        checked.expect("devices are checked");
        let store = self.engine.store();
        let expired = store.expire_updates(self.engine.now(), 100).await;
        expired.expect("updates expire");
    }

    async fn release_all(&self, id: CampaignId, waves: &[(u32, u64)]) {
        let waves = waves.to_vec();
        self.sandbox
            .decides(move |_| Ok(decision(&waves, DecisionOutcome::Proceed)));
        self.tick(id).await;
    }

    /// Creates a single update of the first device.
    async fn create_update(&self, request: &UpdateRequest) -> UpdateRow {
        let (writer, plugins) = (self.engine.update_writer(), self.engine.plugins());
        let created = updates::create(&self.ctx(), writer, plugins, "device-000", request).await;
        created.expect("an update")
    }

    /// Rolls the first device back, to this version or the one before.
    async fn roll_back_device(&self, version: Option<&str>, force: bool) -> Update {
        let (writer, plugins) = (self.engine.update_writer(), self.engine.plugins());
        let (ctx, id) = (self.ctx(), "device-000");
        let back = updates::roll_back(&ctx, writer, plugins, id, version, force, "hums").await;
        back.expect("a rollback").update
    }

    /// Retries an update by hand.
    async fn retry(&self, id: UpdateId) -> Update {
        let (writer, plugins) = (self.engine.update_writer(), self.engine.plugins());
        let changes = RetryOptions::default();
        let retried = updates::retry(&self.ctx(), writer, plugins, id, changes).await;
        retried.expect("the update is retried").update
    }

    /// The updates of a device, newest first.
    async fn updates_of(&self, device: DeviceKey) -> Vec<UpdateRow> {
        let filter = UpdateFilter {
            campaign: None,
            device: Some(device),
            status: None,
        };
        let all = PageRequest {
            limit: 100,
            offset: 0,
        };
        let page = self
            .engine
            .store()
            .list_updates(self.tenant(), &filter, all)
            .await;
        page.expect("the database answers").items
    }

    async fn newest(&self, device: DeviceKey) -> (UpdateStatus, String) {
        let newest = self.updates_of(device).await.remove(0).update.state;
        let error = newest
            .error
            .map(|error| format!("{}: {}", error.code, error.message));
        (newest.status, error.unwrap_or_default())
    }

    /// The explanation of the open update of a device.
    async fn explained_update(&self, device_id: &str) -> String {
        let (ctx, store) = (self.ctx(), self.engine.store());
        let device = store.device(self.tenant(), device_id).await;
        let device = device.expect("the database answers").expect("a device");
        let reasons = updates::explain_open_updates(&ctx, store, &device).await;
        reasons.expect("reasons").join("\n")
    }

    /// A device reports an attribute. No policy is called for that.
    async fn report_without_calls(&self, device: DeviceKey, key: &str, value: &str) {
        let calls = self.calls.lock().len();
        self.report_attribute(device, key, value).await;
        assert_eq!(self.calls.lock().len(), calls, "{key} {value}");
    }

    async fn explained(&self, device_id: &str) -> (MembershipStatus, String) {
        let explained = explain(&self.ctx(), self.engine.store(), device_id).await;
        let newest = explained.expect("an explanation").remove(0);
        (newest.status, newest.reasons.join("\n"))
    }
}

fn skipped(reason: &str) -> (UpdateStatus, String) {
    (UpdateStatus::Cancelled, format!("INCOMPATIBLE: {reason}"))
}

/// A campaign whose first device is updated; the others wait.
async fn first_wave_done(fixture: &EngineFixture, options: UpdateOptions) -> CampaignId {
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.options = options;
    let id = fixture.create_and_start(request).await;
    fixture.release_all(id, &[(0, 1)]).await;
    fixture.report_result(id, Finished::Success).await;
    id
}

fn options() -> UpdateOptions {
    UpdateOptions::forced(Duration::from_mins(30))
}

/// The devices that the campaign has not updated yet.
async fn waiting(fixture: &EngineFixture, id: CampaignId, devices: usize) -> Vec<String> {
    let updated: Vec<_> = fixture
        .updates(id)
        .await
        .into_iter()
        .map(|row| row.device_id)
        .collect();
    let all = (0..devices).map(|n| format!("device-{n:03}"));
    all.filter(|device| !updated.contains(device)).collect()
}

#[tokio::test]
async fn a_later_wave_skips_devices_that_changed_and_are_not_compatible_any_more() {
    let fixture = EngineFixture::with_policies(4).await;
    let id = first_wave_done(&fixture, options()).await;
    let waiting = waiting(&fixture, id, 4).await;
    let [newer, replaced, same] = [0, 1, 2].map(|n| waiting[n].as_str());
    let newer_key = fixture.key(newer).await;
    let replaced_key = fixture.key(replaced).await;
    fixture.report_version(newer_key, "1.2.0").await;
    fixture
        .report_attribute(replaced_key, "hw_model", "cm4")
        .await;
    let calls = fixture.calls.lock().len();
    fixture.release_all(id, &[(0, 1), (1, 2), (2, 1)]).await;
    let scheduled = (UpdateStatus::Scheduled, String::new());
    assert_eq!(fixture.newest(newer_key).await, scheduled);
    assert_eq!(fixture.newest(replaced_key).await, scheduled);
    let same_key = fixture.key(same).await;
    assert_eq!(fixture.newest(same_key).await.0, UpdateStatus::Offered);

    fixture.clock.advance(Duration::from_secs(1));
    fixture.offer_due().await;
    assert_eq!(fixture.newest(newer_key).await, skipped(DOWNGRADE));
    assert_eq!(fixture.newest(replaced_key).await, skipped(OTHER_BOARD));
    assert_eq!(fixture.newest(same_key).await.0, UpdateStatus::Offered);
    let checks: Vec<_> = fixture.calls.lock()[calls..]
        .iter()
        .filter(|(_, call, _)| *call == "check")
        .map(|(policy, ..)| policy.clone())
        .collect();
    assert_eq!(checks, ["fits"], "one call for all changed classes");
    let counts = fixture.counts(id).await;
    assert_eq!(
        (counts.completed, counts.offered, counts.cancelled),
        (1, 1, 2)
    );
    assert_eq!(counts.unsuccessful(), 0);

    let (status, reasons) = fixture.explained(replaced).await;
    assert_eq!(status, MembershipStatus::Skipped);
    let sentence = "it had changed, was checked again at 1970-01-01T00:16:41Z and skipped: fits: the hardware is cm4";
    assert!(reasons.contains(sentence), "{reasons}");
    let sentence = "it was checked again as hardware cm4, revision unknown, version 1.0.0\nit is not offered the update again by \
         itself, even if it changes back; a retry of update";
    assert!(reasons.contains(sentence), "{reasons}");
    let (status, reasons) = fixture.explained(same).await;
    assert_eq!(status, MembershipStatus::Offered);
    let sentence = "policies checked its compatibility at 1970-01-01T00:16:40Z as hardware rpi4, revision unknown, \
                    version 1.0.0";
    assert!(reasons.contains(sentence), "{reasons}");
    let all = PageRequest {
        limit: 100,
        offset: 0,
    };
    let journal = campaigns::journal(&fixture.ctx(), fixture.engine.store(), id, 0, all).await;
    let last = journal.expect("a journal").items.pop().expect("an entry");
    assert_eq!(
        (last.plugin.as_str(), last.at),
        ("fits", fixture.engine.now())
    );
}

#[tokio::test]
async fn a_later_wave_skips_a_device_that_changed_in_any_way() {
    for (attribute, value, reason) in CHANGES {
        let fixture = EngineFixture::with_policies(2).await;
        let id = first_wave_done(&fixture, options()).await;
        let key = fixture.key(&waiting(&fixture, id, 2).await[0]).await;
        fixture.report_without_calls(key, attribute, value).await;
        fixture.release_all(id, &[(0, 1), (1, 1)]).await;
        fixture.offer_due().await;
        let reason = format!("fits: {reason}");
        assert_eq!(fixture.newest(key).await, skipped(&reason));
    }
}

#[tokio::test]
async fn a_skipped_device_that_changes_back_is_offered_the_update_by_a_retry() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let device = waiting(&fixture, id, 2).await.remove(0);
    let key = fixture.key(&device).await;
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await, skipped(OTHER_BOARD));

    fixture.report_attribute(key, "hw_model", "rpi4").await;
    fixture.tick(id).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await, skipped(OTHER_BOARD));
    let skipped = fixture.updates_of(key).await.remove(0).update.id;
    let (status, reasons) = fixture.explained(&device).await;
    assert_eq!(status, MembershipStatus::Skipped);
    let how = format!("a retry of update {skipped} offers it");
    assert!(reasons.contains(&how), "{reasons}");
    fixture.retry(skipped).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
}

/// Updates within `max_concurrent_updates` are offered in ticks.
#[tokio::test]
async fn a_limited_campaign_offers_the_update_to_a_device_that_is_still_compatible() {
    let fixture = EngineFixture::with_policies(2).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.max_concurrent_updates = Some(1);
    let id = fixture.create_and_start(request).await;
    fixture.release_all(id, &[(0, 1)]).await;
    fixture.report_result(id, Finished::Success).await;
    let device = waiting(&fixture, id, 2).await.remove(0);
    let key = fixture.key(&device).await;
    fixture.report_version(key, "1.0.5").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    fixture.tick(id).await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);

    fixture.report_without_calls(key, "hw_revision", "1").await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.offer_due().await;
    fixture.tick(id).await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
}

#[tokio::test]
async fn a_device_that_changed_and_is_still_compatible_is_offered_the_update() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let device = waiting(&fixture, id, 2).await.remove(0);
    let key = fixture.key(&device).await;
    fixture.report_version(key, "1.0.5").await;
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    assert_eq!(
        fixture.newest(key).await,
        (UpdateStatus::Offered, String::new())
    );
    let (_, reasons) = fixture.explained(&device).await;
    assert!(reasons.contains("version 1.0.5"), "{reasons}");
}

#[tokio::test]
async fn a_policy_that_fails_is_asked_again_later() {
    let fixture = EngineFixture::with_policies(2).await;
    let id = first_wave_done(&fixture, options()).await;
    let key = fixture.key(&waiting(&fixture, id, 2).await[0]).await;
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture
        .sandbox
        .checks(|_| Err(CallFailure::Host("busy".to_owned())));
    fixture.release_all(id, &[(0, 1), (1, 1)]).await;
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.sandbox.checks(|input| Ok(accepts(input)));
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.clock.advance(Duration::from_mins(1));
    fixture.offer_due().await;
    assert_eq!(fixture.newest(key).await, skipped(OTHER_BOARD));
}

/// A campaign that offered its update to one device.
async fn offered(options: UpdateOptions) -> (EngineFixture, CampaignId, DeviceKey) {
    let fixture = EngineFixture::with_policies(1).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.options = options;
    let id = fixture.create_and_start(request).await;
    fixture.release_all(id, &[(0, 1)]).await;
    let key = fixture.key("device-000").await;
    (fixture, id, key)
}

#[tokio::test]
async fn an_automatic_retry_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let (fixture, id, key) = offered(UpdateOptions {
            retries: RetryPolicy {
                max_retries: 2,
                delay: Duration::from_mins(1),
            },
            ..options()
        })
        .await;
        fixture.report_result(id, Finished::Failure).await;
        fixture.report_without_calls(key, attribute, value).await;
        fixture.clock.advance(Duration::from_mins(2));
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("fits: {reason}"))
        );
    }
}

#[tokio::test]
async fn a_retry_by_hand_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let (fixture, id, key) = offered(options()).await;
        fixture.report_result(id, Finished::Failure).await;
        let failed = fixture.updates_of(key).await.remove(0).update.id;
        let retried = fixture.retry(failed).await;
        assert_eq!(retried.state.status, UpdateStatus::Offered);
        fixture.report_without_calls(key, attribute, value).await;
        fixture.offer_due().await;
        let skipped = skipped(&format!("fits: {reason}"));
        assert_eq!(fixture.newest(key).await, skipped);
        let calls = fixture.calls.lock().len();
        let retried = fixture.retry(failed).await;
        assert_eq!(retried.state.status, UpdateStatus::Scheduled);
        assert_eq!(fixture.calls.lock().len(), calls, "asked in the request");
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await, skipped);
    }
}

#[tokio::test]
async fn an_offer_that_is_not_begun_is_withdrawn_from_another_board() {
    let confirmation = Confirmation {
        on_denied: OnDenied::OfferAgain,
        timeout: Duration::from_hours(24),
    };
    for (attribute, value, reason) in CHANGES {
        for confirmation in [None, Some(confirmation)] {
            let (fixture, _, key) = offered(UpdateOptions {
                confirmation,
                ..options()
            })
            .await;
            fixture.report_without_calls(key, attribute, value).await;
            assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
            // A late confirmation is for nothing.
            let row = fixture.updates_of(key).await.remove(0);
            let confirmed = Feedback::new(Execution::Confirmed, Finished::None);
            let answer = UpdateEvent::ConfirmationFeedback(confirmed);
            assert!(fixture.try_report(&row, answer).await.is_err());
            fixture.offer_due().await;
            assert_eq!(
                fixture.newest(key).await,
                skipped(&format!("fits: {reason}"))
            );
        }
    }
}

#[tokio::test]
async fn an_offer_is_made_again_to_a_board_that_is_compatible() {
    let (fixture, _, key) = offered(options()).await;
    for (attribute, value) in [
        ("hw_revision", "1"),
        ("site", "lab"),
        ("sw_version", "1.0.5"),
    ] {
        fixture.report_without_calls(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
    }
    fixture.report_attribute(key, "uptime", "5").await;
    assert_eq!(
        fixture.newest(key).await.0,
        UpdateStatus::Offered,
        "no policy requests it"
    );
    let (_, reasons) = fixture.explained("device-000").await;
    let class = "as hardware rpi4, revision 1, version 1.0.5, site lab";
    assert!(reasons.contains(class), "{reasons}");
    fixture.report_attribute(key, "hw_model", "cm4").await;
    fixture.report_attribute(key, "hw_model", "rpi4").await;
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
    fixture.offer_due().await;
    assert_eq!(
        fixture.newest(key).await,
        (UpdateStatus::Offered, String::new())
    );

    // What has begun goes on.
    let row = fixture.updates_of(key).await.remove(0);
    fixture.report(&row, UpdateEvent::Retrieved).await;
    for (attribute, value, _) in CHANGES {
        fixture.report_attribute(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Downloading);
    }
}

#[tokio::test]
async fn an_offer_that_waits_behind_another_update_is_checked_when_that_has_changed_the_version() {
    let (fixture, _, key) = offered(options()).await;
    let heavier = UpdateRequest {
        priority: Priority::Critical,
        ..single(fixture.add_firmware("1.2.0").await)
    };
    let update = fixture.create_update(&heavier).await;
    let done = UpdateEvent::Feedback(feedback(Finished::Success));
    fixture.report(&update, done).await;
    let waiting = fixture.updates_of(key).await.remove(1).update;
    assert_eq!(waiting.state.status, UpdateStatus::Scheduled);
    fixture.offer_due().await;
    let ended = fixture.updates_of(key).await.remove(1).update.state;
    assert_eq!(ended.status, UpdateStatus::Cancelled);
    assert_eq!(ended.error.expect("a reason").message, DOWNGRADE);
}

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
            skipped(&format!("hardware: {reason}"))
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
            skipped(&format!("hardware: {reason}"))
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
    let reason = "hardware: the hardware is cm4";
    assert_eq!(fixture.newest(key).await, skipped(reason));
}

#[tokio::test]
async fn a_single_update_goes_to_no_other_board() {
    for (attribute, value, reason) in CHANGES {
        let fixture = EngineFixture::with_policies(1).await;
        let key = fixture.key("device-000").await;
        let firmware = fixture.add_firmware("1.1.0").await;
        let update = fixture.create_update(&single(firmware)).await;
        assert_eq!(update.update.state.status, UpdateStatus::Offered);
        fixture.report_without_calls(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
        let sentence =
            "it has changed since then, and is checked again before the update is offered";
        let explained = fixture.explained_update("device-000").await;
        assert!(explained.contains(sentence), "{explained}");
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("hardware: {reason}"))
        );
        let explained = fixture.explained_update("device-000").await;
        let sentence = format!("and skipped: hardware: {reason}\nupdate ");
        assert!(explained.contains(&sentence), "{explained}");
    }
}

#[tokio::test]
async fn a_forced_update_is_never_checked() {
    for (attribute, value, _) in CHANGES {
        let fixture = EngineFixture::with_policies(1).await;
        let key = fixture.key("device-000").await;
        let forced = UpdateRequest {
            force: true,
            options: UpdateOptions {
                retries: RetryPolicy {
                    max_retries: 1,
                    delay: Duration::from_mins(1),
                },
                ..options()
            },
            ..single(fixture.add_firmware("1.1.0").await)
        };
        let update = fixture.create_update(&forced).await;
        fixture.report_attribute(key, attribute, value).await;
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
        let sentence = "an operator forced it: policies do not check its compatibility";
        let explained = fixture.explained_update("device-000").await;
        assert!(explained.contains(sentence), "{explained}");

        let failed = UpdateEvent::Feedback(feedback(Finished::Failure));
        fixture.report(&update, failed.clone()).await;
        fixture.clock.advance(Duration::from_mins(2));
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
        let retry = fixture.updates_of(key).await.remove(0);
        fixture.report(&retry, failed).await;
        let by_hand = fixture.retry(retry.update.id).await;
        assert_eq!(by_hand.state.status, UpdateStatus::Offered);
        let explained = fixture.explained_update("device-000").await;
        assert!(explained.contains(sentence), "{explained}");

        let row = fixture.updates_of(key).await.remove(0);
        let done = UpdateEvent::Feedback(feedback(Finished::Success));
        fixture.report(&row, done).await;
        fixture.add_firmware("1.0.9").await;
        let back = fixture.roll_back_device(Some("1.0.9"), true).await;
        assert_eq!(back.state.status, UpdateStatus::Offered);
        fixture.report_attribute(key, "hw_model", "cm5").await;
        fixture.offer_due().await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
        assert!(fixture.calls.lock().is_empty(), "a policy was called");
    }
}

fn single(firmware: FirmwareId) -> UpdateRequest {
    UpdateRequest {
        firmware,
        policies: None,
        priority: Priority::Normal,
        success_criteria: SuccessCriteria::Reported,
        options: options(),
        force: false,
        allow_beta: false,
    }
}

#[tokio::test]
async fn mode_latest_offers_nothing_to_another_board() {
    let fixture = EngineFixture::with_policies(1).await;
    let key = fixture.key("device-000").await;
    let change = DeviceChange {
        mode: Some(DeviceMode::Latest),
        ..DeviceChange::at(fixture.engine.now())
    };
    let store = fixture.engine.store();
    let changed = store
        .change_device(&fixture.ctx(), "device-000", change)
        .await;
    changed.expect("the database answers");
    let details = FirmwareDetails {
        name: "edge".to_owned(),
        version: "1.1.0".to_owned(),
        device_model: Some("rpi4".to_owned()),
        ..FirmwareDetails::default()
    };
    fixture.add_firmware_with(details).await;
    let asked = Arc::new(Mutex::new(0));
    let count = Arc::clone(&asked);
    fixture.sandbox.checks(move |input| {
        *count.lock() += 1;
        Ok(accepts(input))
    });
    latest::process_dirty_tenants(&fixture.engine)
        .await
        .expect("dirty tenants are processed");
    assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
    fixture.offer_due().await;
    assert_eq!(*asked.lock(), 3, "each policy once");
    for (attribute, value, reason) in CHANGES {
        fixture.report_without_calls(key, attribute, value).await;
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Scheduled);
        fixture.offer_due().await;
        assert_eq!(
            fixture.newest(key).await,
            skipped(&format!("latest: {reason}"))
        );
        latest::process_dirty_tenants(&fixture.engine)
            .await
            .expect("dirty tenants are processed");
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Cancelled);
        // It becomes compatible again, and was never given the firmware.
        let back = match attribute {
            "hw_model" => "rpi4",
            "hw_revision" => "1",
            _ => break,
        };
        fixture.report_attribute(key, attribute, back).await;
        latest::process_dirty_tenants(&fixture.engine)
            .await
            .expect("dirty tenants are processed");
        assert_eq!(fixture.newest(key).await.0, UpdateStatus::Offered);
    }
}
