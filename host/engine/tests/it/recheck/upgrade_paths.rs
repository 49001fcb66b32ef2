//! Intermediate versions that policies need before the firmware of a campaign.

use tidegate_core::{id::UpdateId, update::UpdateType};
use tidegate_engine::{Error, campaigns::CampaignRequest, ports::EntryKind};

use super::*;

/// What policies say of a device on this version and a firmware of that version.
type Needs = (&'static str, &'static str, Option<&'static str>);

/// A device on 1.0.0 and policies: `needs` has what they need for a device on the first version and a firmware of the
/// second one; `None`: they reject it.
async fn fixture_with(needs: &'static [Needs]) -> EngineFixture {
    let fixture = EngineFixture::new(1).await;
    fixture.sandbox.checks(move |input| {
        let classes = input.classes.iter().map(|class| {
            let is_meant = |(version, firmware, _): &&Needs| {
                class.key.version.as_deref() == Some(version) && input.firmware.version == *firmware
            };
            match needs.iter().find(is_meant) {
                None => Compatibility::Compatible,
                Some((version, _, None)) => {
                    Compatibility::Incompatible(format!("not from {version}."))
                }
                Some((version, firmware, Some(first))) => Compatibility::Needs {
                    version: (*first).to_owned(),
                    reason: format!("from {version} to {firmware} the data is converted."),
                },
            }
        });
        Ok(classes.collect())
    });
    fixture
}

impl EngineFixture {
    /// Starts a campaign to 2.0.0, and releases its device.
    async fn start_to_2(&self) -> CampaignId {
        let request = campaign_request(self.add_firmware("2.0.0").await);
        let id = self.create_and_start(request).await;
        self.release_all(id, &[(0, 1)]).await;
        id
    }

    /// The reason why a campaign like this, with one device, does not start.
    async fn refusal(&self, request: CampaignRequest) -> String {
        let id = self.create(request).await.id;
        let Err(Error::Conflict { code, message, .. }) = self.try_start(id).await else {
            panic!("it starts");
        };
        assert_eq!(code, "no_compatible_devices");
        let (_, reason) = message.split_once("first reason: ").expect("a reason");
        let journal = " (the plugin calls are in the campaign's journal)";
        reason.trim_end_matches(journal).to_owned()
    }

    /// The newest update of the device: its id, version and status.
    async fn step(&self) -> (UpdateId, String, UpdateStatus) {
        let key = self.key("device-000").await;
        let update = self.updates_of(key).await.remove(0).update;
        (update.id, update.to_version, update.state.status)
    }

    /// The version of the update that the device is offered.
    async fn offered_version(&self) -> String {
        self.clock.advance(Duration::from_secs(1));
        self.offer_due().await;
        let (_, version, status) = self.step().await;
        assert_eq!(status, UpdateStatus::Offered, "{version}");
        version
    }

    async fn checks(&self, id: CampaignId) -> usize {
        let journal = self.journal(id).await;
        let checks = journal.iter();
        checks.filter(|it| it.kind == EntryKind::Check).count()
    }
}

#[tokio::test]
async fn a_device_gets_the_version_that_policies_need_and_then_the_firmware() {
    let fixture = fixture_with(&[("1.0.0", "2.0.0", Some("1.5.0"))]).await;
    fixture.add_firmware("1.5.0").await;
    let id = fixture.start_to_2().await;
    assert_eq!(fixture.checks(id).await, 2, "of 2.0.0 and of 1.5.0");
    assert_eq!(fixture.step().await.1, "1.5.0");
    let (status, reasons) = fixture.explained("device-000").await;
    assert_eq!(status, MembershipStatus::Offered);
    for sentence in [
        "every compatibility policy allows it after the intermediate version 1.5.0 (firmware 1), which it is offered \
         first: acme/fits: needs 1.5.0 first: from 1.0.0 to 2.0.0 the data is converted.",
        "1.5.0 is an intermediate version on its way to 2.0.0 (firmware 2): acme/fits: needs 1.5.0 first: from 1.0.0 to \
         2.0.0 the data is converted.",
    ] {
        assert!(reasons.contains(sentence), "{reasons}");
    }

    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.counts(id).await.offered, 1);
    let (_, reasons) = fixture.explained("device-000").await;
    let sentence = "it installed 1.5.0 before 2.0.0, as policies needed";
    assert!(reasons.contains(sentence), "{reasons}");
    assert_eq!(fixture.offered_version().await, "2.0.0");
    assert_eq!(fixture.checks(id).await, 3);
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.counts(id).await.completed, 1);
    assert_eq!(fixture.host_outcomes(id).await, ["intermediate"]);
}

#[tokio::test]
async fn a_class_is_excluded_if_the_server_does_not_have_the_version() {
    let fixture = fixture_with(&[("1.0.0", "2.0.0", Some("1.5.0"))]).await;
    // It is for another model.
    fixture
        .add_firmware_with(FirmwareDetails {
            name: "edge".to_owned(),
            version: "1.5.0".to_owned(),
            device_model: Some("cm4".to_owned()),
            ..FirmwareDetails::default()
        })
        .await;
    let request = campaign_request(fixture.add_firmware("2.0.0").await);
    assert_eq!(
        fixture.refusal(request.clone()).await,
        "acme/fits: needs 1.5.0 first: from 1.0.0 to 2.0.0 the data is converted; there is no firmware edge 1.5.0 for \
         model rpi4: upload it, then start or retry again"
    );
    let beta = FirmwareDetails {
        name: "edge".to_owned(),
        version: "1.5.0".to_owned(),
        is_beta: true,
        ..FirmwareDetails::default()
    };
    fixture.add_firmware_with(beta).await;
    let reason = fixture.refusal(request.clone()).await;
    let why = "; firmware edge 1.5.0 is a beta: allow betas, then start again";
    assert!(reason.ends_with(why), "{reason}");
    let downloaded = CampaignRequest {
        allow_beta: true,
        options: UpdateOptions {
            update_type: UpdateType::DownloadOnly,
            ..options()
        },
        ..request.clone()
    };
    let reason = fixture.refusal(downloaded).await;
    let why = "; an update that is only downloaded cannot install it";
    assert!(reason.ends_with(why), "{reason}");
    let allowed = CampaignRequest {
        allow_beta: true,
        ..request
    };
    let id = fixture.create_and_start(allowed).await;
    fixture.release_all(id, &[(0, 1)]).await;
    assert_eq!(fixture.step().await.1, "1.5.0");
}

#[tokio::test]
async fn policies_are_asked_about_the_intermediate_version_too() {
    let fixture = fixture_with(&[
        ("1.0.0", "2.0.0", Some("1.5.0")),
        ("1.0.0", "1.5.0", Some("1.2.0")),
        ("1.2.0", "2.0.0", Some("1.5.0")),
    ])
    .await;
    for version in ["1.2.0", "1.5.0"] {
        fixture.add_firmware(version).await;
    }
    let id = fixture.start_to_2().await;
    let mut installed = vec![fixture.step().await.1];
    for _ in 0..2 {
        fixture.report_result(id, Finished::Success).await;
        installed.push(fixture.offered_version().await);
    }
    assert_eq!(installed, ["1.2.0", "1.5.0", "2.0.0"]);

    let fixture =
        fixture_with(&[("1.0.0", "2.0.0", Some("1.5.0")), ("1.0.0", "1.5.0", None)]).await;
    fixture.add_firmware("1.5.0").await;
    let request = campaign_request(fixture.add_firmware("2.0.0").await);
    let reason = fixture.refusal(request).await;
    let why = "; 1.5.0 cannot be installed first: acme/fits: not from 1.0.0.";
    assert!(reason.ends_with(why), "{reason}");

    let fixture = fixture_with(&[
        ("1.0.0", "2.0.0", Some("1.5.0")),
        ("1.0.0", "1.5.0", Some("1.2.0")),
        ("1.0.0", "1.2.0", Some("1.5")),
    ])
    .await;
    for version in ["1.2.0", "1.5.0"] {
        fixture.add_firmware(version).await;
    }
    let request = campaign_request(fixture.add_firmware("2.0.0").await);
    let reason = fixture.refusal(request).await;
    let why = "; it needs 1.5.0, which needs 1.2.0, which needs 1.5: policies need a version before itself";
    assert!(reason.ends_with(why), "{reason}");
}

#[tokio::test]
async fn a_policy_that_looks_at_the_device_only_accepts_the_version_that_it_needs() {
    let fixture = fixture_with(&[
        ("1.0.0", "2.0.0", Some("1.5.0")),
        ("1.0.0", "1.5.0", Some("1.5.0")),
    ])
    .await;
    fixture.add_firmware("1.5.0").await;
    fixture.start_to_2().await;
    assert_eq!(fixture.step().await.1, "1.5.0");
}

#[tokio::test]
async fn a_version_that_is_missing_in_the_middle_ends_the_update_until_it_is_retried() {
    let fixture = fixture_with(&[
        ("1.0.0", "2.0.0", Some("1.5.0")),
        ("1.5.0", "2.0.0", Some("1.7.0")),
    ])
    .await;
    fixture.add_firmware("1.5.0").await;
    let id = fixture.start_to_2().await;
    fixture.report_result(id, Finished::Success).await;
    fixture.offer_due().await;
    let (ended, _, status) = fixture.step().await;
    assert_eq!(status, UpdateStatus::Cancelled);
    let (_, reasons) = fixture.explained("device-000").await;
    let why =
        "there is no firmware edge 1.7.0 for model rpi4: upload it, then start or retry again";
    assert!(reasons.contains(why), "{reasons}");
    assert_eq!(fixture.counts(id).await.cancelled, 1);

    fixture.add_firmware("1.7.0").await;
    let retried = fixture.retry(ended).await;
    assert_eq!(retried.installed_before(), ["1.5.0"]);
    assert_eq!(fixture.offered_version().await, "1.7.0");
    let (step, ..) = fixture.step().await;
    let row = fixture.engine.store().update(fixture.tenant(), step).await;
    let row = row.expect("the database answers").expect("an update");
    fixture
        .report(&row, UpdateEvent::Feedback(feedback(Finished::Success)))
        .await;
    assert_eq!(fixture.offered_version().await, "2.0.0");
}

#[tokio::test]
async fn a_retry_of_a_failed_step_leads_to_the_firmware_of_the_campaign() {
    let fixture = fixture_with(&[("1.0.0", "2.0.0", Some("1.5.0"))]).await;
    fixture.add_firmware("1.5.0").await;
    let id = fixture.start_to_2().await;
    fixture.report_result(id, Finished::Failure).await;
    assert_eq!(fixture.counts(id).await.failed, 1);
    let (failed, ..) = fixture.step().await;
    let retried = fixture.retry(failed).await;
    assert_eq!(
        (retried.to_version.as_str(), retried.target().1),
        ("1.5.0", "2.0.0")
    );
    let row = fixture
        .engine
        .store()
        .update(fixture.tenant(), retried.id)
        .await;
    let row = row.expect("the database answers").expect("an update");
    fixture
        .report(&row, UpdateEvent::Feedback(feedback(Finished::Success)))
        .await;
    assert_eq!(fixture.offered_version().await, "2.0.0");
    assert_eq!(
        fixture.counts(id).await.failed,
        1,
        "the campaign counts what it did"
    );
}

#[tokio::test]
async fn a_device_of_a_later_wave_that_changed_gets_the_version_that_it_needs_now() {
    let fixture = fixture_with(&[("0.9.0", "2.0.0", Some("1.5.0"))]).await;
    fixture.add_firmware("1.5.0").await;
    let request = campaign_request(fixture.add_firmware("2.0.0").await);
    let id = fixture.create_and_start(request).await;
    let key = fixture.key("device-000").await;
    fixture.report_version(key, "0.9.0").await;
    fixture.release_all(id, &[(0, 1)]).await;
    assert_eq!(fixture.step().await.2, UpdateStatus::Scheduled);
    assert_eq!(fixture.offered_version().await, "1.5.0");
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.offered_version().await, "2.0.0");
}

#[tokio::test]
async fn a_paused_campaign_waits_between_two_steps_and_a_cancelled_one_ends_there() {
    let fixture = fixture_with(&[("1.0.0", "2.0.0", Some("1.5.0"))]).await;
    fixture.add_firmware("1.5.0").await;
    let id = fixture.start_to_2().await;
    fixture.pause(id, "lunch").await;
    fixture.report_result(id, Finished::Success).await;
    fixture.clock.advance(Duration::from_secs(1));
    fixture.offer_due().await;
    assert_eq!(fixture.step().await.2, UpdateStatus::Scheduled);
    let (store, signals) = (fixture.engine.store(), fixture.engine.signals());
    let cancelled = campaigns::cancel(&fixture.ctx(), store, signals, id, "enough").await;
    cancelled.expect("the campaign is cancelled");
    fixture.tick(id).await;
    let (_, version, status) = fixture.step().await;
    assert_eq!(
        (version.as_str(), status),
        ("2.0.0", UpdateStatus::Cancelled)
    );
    assert_eq!(fixture.counts(id).await.cancelled, 1);
}

#[tokio::test]
async fn a_single_update_installs_the_intermediate_version_first() {
    let fixture = fixture_with(&[("1.0.0", "2.0.0", Some("1.5.0"))]).await;
    let request = single(fixture.add_firmware("2.0.0").await);
    let (writer, plugins) = (fixture.engine.update_writer(), fixture.engine.plugins());
    let create = async || {
        let ctx = fixture.ctx();
        let created = updates::create(&ctx, writer, plugins, "device-000", &request);
        created.await.map_err(|error| error.to_string())
    };
    let refused = create().await.expect_err("there is no 1.5.0");
    let why = "there is no firmware edge 1.5.0 for model rpi4: upload it, then start or retry again; `force` overrides it";
    assert!(refused.ends_with(why), "{refused}");

    fixture.add_firmware("1.5.0").await;
    let row = create().await.expect("an update");
    assert_eq!(
        (&*row.update.to_version, row.update.target().1),
        ("1.5.0", "2.0.0")
    );
    let again = create().await.expect_err("it is open");
    assert!(again.contains("already installs this firmware"), "{again}");
    let explained = fixture.explained_update("device-000").await;
    let sentence = "1.5.0 is an intermediate version on its way to 2.0.0 (firmware 1): tidegate/hardware: needs 1.5.0 first";
    assert!(explained.contains(sentence), "{explained}");
    let success = UpdateEvent::Feedback(feedback(Finished::Success));
    fixture.report(&row, success.clone()).await;
    assert_eq!(fixture.offered_version().await, "2.0.0");
    let again = create().await.expect_err("it is open");
    assert!(again.contains("already installs this firmware"), "{again}");
    let (last, ..) = fixture.step().await;
    let row = fixture.engine.store().update(fixture.tenant(), last).await;
    let row = row.expect("the database answers").expect("an update");
    fixture.report(&row, success).await;
    assert_eq!(fixture.step().await.2, UpdateStatus::Completed);
    assert_eq!(
        fixture.version_of("device-000").await.as_deref(),
        Some("2.0.0")
    );
}
