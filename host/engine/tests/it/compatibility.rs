//! Compatibility: which classes the policies are asked about, and the reasons that are collected.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    campaign::Priority,
    id::FirmwareId,
    plugin::{CheckInput, Compatibility, PluginKind},
    update::{SuccessCriteria, UpdateOptions},
};
use tidegate_engine::{
    Error, Result, campaigns,
    plugins::PluginChoice,
    ports::{CallFailure, EntryKind, PageRequest},
    updates::{self, OfferRefusal, UpdateRequest},
};

use crate::engine_fixture::{EngineFixture, campaign_request, explain};

/// The versions of the classes of each call.
type AskedClasses = Arc<Mutex<Vec<Vec<String>>>>;

/// Two devices of version 1.0.0 and one of version 0.9.0. The first call rejects the older version, and the second call
/// fails with `failure`, if there is one.
async fn fixture_of_two_classes(failure: Option<CallFailure>) -> (EngineFixture, AskedClasses) {
    let fixture = EngineFixture::new(3).await;
    fixture
        .add_plugin("acme/also-fits", PluginKind::Compatibility)
        .await;
    for (device_id, version) in [
        ("device-000", "1.0.0"),
        ("device-001", "0.9.0"),
        ("device-002", "1.0.0"),
    ] {
        let device = fixture.engine.store();
        let device = device.device(fixture.tenant(), device_id).await;
        let device = device.expect("the database answers").expect("a device");
        fixture.report_version(device.key, version).await;
    }
    let asked_classes = AskedClasses::default();
    let asked = Arc::clone(&asked_classes);
    fixture.sandbox.checks(move |input: &CheckInput| {
        let mut asked = asked.lock();
        let versions = input.classes.iter().map(|class| class.key.version.clone());
        asked.push(versions.map(Option::unwrap_or_default).collect());
        if let Some(failure) = failure.as_ref().filter(|_| asked.len() == 2) {
            return Err(failure.clone());
        }
        let is_first = asked.len() == 1;
        let verdicts = input.classes.iter().map(|class| {
            if is_first && class.key.version.as_deref() == Some("0.9.0") {
                Compatibility::Needs {
                    version: "1.0.0".to_owned(),
                    reason: "too old".to_owned(),
                }
            } else {
                Compatibility::Compatible
            }
        });
        Ok(verdicts.collect())
    });
    (fixture, asked_classes)
}

fn policies() -> Vec<PluginChoice> {
    let choice = |plugin: &str| PluginChoice {
        plugin: plugin.to_owned(),
        revision: None,
        config: "{}".to_owned(),
    };
    vec![choice("acme/fits"), choice("acme/also-fits")]
}

async fn try_offer_to_all(
    fixture: &EngineFixture,
    firmware: FirmwareId,
) -> Result<updates::BulkResult> {
    let request = UpdateRequest {
        firmware,
        priority: Priority::Normal,
        force: false,
        allow_beta: false,
        options: UpdateOptions::forced(Duration::from_mins(30)),
        success_criteria: SuccessCriteria::Reported,
        policies: Some(policies()),
    };
    let device_ids = (0..3).map(|n| format!("device-{n:03}")).collect();
    updates::create_many(
        &fixture.ctx(),
        fixture.engine.update_writer(),
        fixture.engine.plugins(),
        device_ids,
        &request,
    )
    .await
}

async fn offer_to_all(fixture: &EngineFixture) -> updates::BulkResult {
    let firmware = fixture.add_firmware("1.1.0").await;
    let result = try_offer_to_all(fixture, firmware).await;
    result.expect("the policies answer")
}

fn accepted(result: &updates::BulkResult) -> Vec<&str> {
    result.accepted.iter().map(|(id, _)| id.as_str()).collect()
}

#[tokio::test]
async fn every_policy_of_an_update_is_asked_about_every_class() {
    let (fixture, asked) = fixture_of_two_classes(None).await;
    let result = offer_to_all(&fixture).await;
    assert_eq!(accepted(&result), ["device-000", "device-002"]);
    let reason = "acme/fits: needs 1.0.0 first: too old; there is no firmware edge 1.0.0 for model rpi4: upload it, then start \
                  or retry again";
    let refusal = OfferRefusal::Incompatible(reason.to_owned());
    let refused = ("device-001".to_owned(), refusal);
    assert_eq!(result.refused, [refused]);
    let asked = asked.lock().clone();
    assert_eq!(asked, [vec!["0.9.0", "1.0.0"], vec!["0.9.0", "1.0.0"]]);
}

#[tokio::test]
async fn a_policy_that_fails_rejects_the_classes_that_it_was_asked_about() {
    let failure = CallFailure::PluginError("a bug".to_owned());
    let (fixture, _) = fixture_of_two_classes(Some(failure)).await;
    let result = offer_to_all(&fixture).await;
    assert_eq!(accepted(&result), Vec::<&str>::new());
    let reasons = result.refused.iter().map(|(_, refusal)| match refusal {
        OfferRefusal::Incompatible(reason) => reason.as_str(),
        other => panic!("{other:?}"),
    });
    let reasons: Vec<_> = reasons.collect();
    let failed = "acme/also-fits: the policy failed: the plugin returned an error: a bug";
    assert_eq!(reasons, [failed, failed, failed]);
}

#[tokio::test]
async fn a_policy_that_fails_under_load_rejects_no_device() {
    for failure in [
        CallFailure::Deadline(Duration::from_millis(250)),
        CallFailure::Host("compiling it took too long".to_owned()),
    ] {
        let (fixture, _) = fixture_of_two_classes(Some(failure.clone())).await;
        let firmware = fixture.add_firmware("1.1.0").await;
        let error = try_offer_to_all(&fixture, firmware).await;
        let error = error.expect_err("a policy does not answer");
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
        let message = error.to_string();
        assert!(message.starts_with("acme/also-fits: "), "{message}");
        assert!(message.ends_with("; retry later"), "{message}");
        // Nothing was created, and the next calls answer.
        let result = try_offer_to_all(&fixture, firmware).await;
        let result = result.expect("the policies answer");
        let all = ["device-000", "device-001", "device-002"];
        assert_eq!(accepted(&result), all, "{failure}");
    }
}

#[tokio::test]
async fn the_journal_of_a_campaign_has_the_verdict_of_each_policy_on_each_class() {
    let (fixture, asked) = fixture_of_two_classes(None).await;
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.policies = policies();
    let id = fixture.create_and_start(request).await;
    let asked = asked.lock().clone();
    assert_eq!(asked, [vec!["0.9.0", "1.0.0"], vec!["0.9.0", "1.0.0"]]);
    let all = PageRequest {
        limit: 100,
        offset: 0,
    };
    let journal = campaigns::journal(&fixture.ctx(), fixture.engine.store(), id, 0, all).await;
    let entries = journal.expect("a journal").items;
    let checks = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Check);
    let plugins = checks.filter_map(|entry| entry.plugin.as_ref().map(ToString::to_string));
    let plugins: Vec<_> = plugins.collect();
    assert_eq!(plugins, ["acme/fits", "acme/also-fits"]);
    let explained = explain(&fixture.ctx(), fixture.engine.store(), "device-001").await;
    let reasons = explained.expect("an explanation").remove(0).reasons;
    let named = reasons
        .iter()
        .any(|reason| reason.contains("acme/fits: needs 1.0.0 first: too old"));
    assert!(named, "{reasons:?}");
}
