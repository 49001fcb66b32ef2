//! Mode `latest`: which firmware the policies are called for, and how the rest is explained.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    firmware::FirmwareDetails,
    mode::DeviceMode,
    plugin::{CheckInput, Compatibility, PluginKind, PluginName, RevisionState},
    time::Timestamp,
};
use tidegate_engine::{
    latest,
    ports::{CallFailure, DeviceChange, PageRequest, UpdateFilter},
};

use crate::engine_fixture::EngineFixture;

/// The firmware versions that the policies were called for.
type CheckedVersions = Arc<Mutex<Vec<String>>>;

/// Devices in mode `latest`, with policies that allow what `may` allows.
async fn latest_fixture(
    may: impl Fn(&CheckInput) -> bool + Send + 'static,
) -> (EngineFixture, CheckedVersions) {
    let fixture = EngineFixture::new(2).await;
    for policy in ["latest", "hardware"] {
        fixture.add_plugin(policy, PluginKind::Compatibility).await;
    }
    for n in 0..2 {
        let change = DeviceChange {
            mode: Some(DeviceMode::Latest),
            ..DeviceChange::at(Timestamp(0))
        };
        let id = format!("device-{n:03}");
        let changed = fixture.engine.store();
        let changed = changed.change_device(&fixture.ctx(), &id, change).await;
        changed.expect("a device");
    }
    let checked_versions = CheckedVersions::default();
    let checked = Arc::clone(&checked_versions);
    fixture.sandbox.checks(move |input| {
        checked.lock().push(input.firmware.version.clone());
        let verdict = if may(input) {
            Compatibility::Compatible
        } else {
            Compatibility::Incompatible("no".to_owned())
        };
        Ok(vec![verdict; input.classes.len()])
    });
    (fixture, checked_versions)
}

async fn publish(
    fixture: &EngineFixture,
    version: &str,
    change: impl FnOnce(&mut FirmwareDetails),
) {
    let mut details = FirmwareDetails {
        name: "edge".to_owned(),
        version: version.to_owned(),
        device_model: Some("rpi4".to_owned()),
        ..FirmwareDetails::default()
    };
    change(&mut details);
    fixture.add_firmware_with(details).await;
}

async fn offered(fixture: &EngineFixture) -> Vec<String> {
    let all = PageRequest {
        limit: 500,
        offset: 0,
    };
    let every = UpdateFilter::default();
    let updates = fixture.engine.store();
    let updates = updates.list_updates(fixture.tenant(), &every, all).await;
    let updates = updates.expect("a list").items;
    updates
        .into_iter()
        .map(|row| row.update.to_version)
        .collect()
}

async fn process(fixture: &EngineFixture) -> Vec<String> {
    latest::process_dirty_tenants(&fixture.engine)
        .await
        .expect("dirty tenants are processed");
    offered(fixture).await
}

async fn explained(fixture: &EngineFixture) -> String {
    let device = fixture.engine.store();
    let device = device.device(fixture.tenant(), "device-000").await;
    let device = device.expect("the database answers").expect("a device");
    let explanation = latest::explain(
        &fixture.ctx(),
        fixture.engine.store(),
        fixture.engine.plugins(),
        &device,
    )
    .await;
    explanation.expect("an explanation").join("\n")
}

#[tokio::test]
async fn betas_and_other_models_do_not_block_a_release() {
    let (fixture, checked_versions) = latest_fixture(|_| true).await;
    publish(&fixture, "1.1.0", |_| {}).await;
    for n in 0..120 {
        publish(&fixture, &format!("2.0.{n}"), |details| {
            details.is_beta = true;
        })
        .await;
        publish(&fixture, &format!("3.0.0-rc.{n}"), |_| {}).await;
        let other = Some("cm4".to_owned());
        publish(&fixture, &format!("4.0.{n}"), |details| {
            details.device_model = other;
        })
        .await;
    }
    publish(&fixture, "9.0.0", |details| details.device_model = None).await;
    assert_eq!(process(&fixture).await, ["1.1.0", "1.1.0"]);
    // Each of the three policies, once for both devices.
    assert_eq!(*checked_versions.lock(), ["1.1.0"; 3]);

    let explanation = explained(&fixture).await;
    for sentence in [
        "not edge 9.0.0: neither its upload nor its image names the hardware that it is for",
        "not edge 3.0.0-rc.119: it is a beta",
        "latest chooses edge 1.1.0 for it",
    ] {
        assert!(explanation.contains(sentence), "{sentence}: {explanation}");
    }
    assert!(!explanation.contains("4.0."), "{explanation}");
}

#[tokio::test]
async fn policies_are_called_down_to_the_installed_version() {
    let (fixture, checked_versions) =
        latest_fixture(|input| input.firmware.version == "1.1.0").await;
    for version in ["0.8.0", "0.9.0", "1.0.0", "1.1.0"] {
        publish(&fixture, version, |_| {}).await;
    }
    for n in 0..60 {
        publish(&fixture, &format!("2.0.{n}"), |_| {}).await;
    }
    assert_eq!(process(&fixture).await, ["1.1.0", "1.1.0"]);
    checked_versions.lock().clear();

    fixture.sandbox.checks({
        let checked = Arc::clone(&checked_versions);
        move |input| {
            checked.lock().push(input.firmware.version.clone());
            Ok(vec![
                Compatibility::Incompatible("no".to_owned());
                input.classes.len()
            ])
        }
    });
    let explanation = explained(&fixture).await;
    assert!(
        explanation.ends_with("latest chooses no firmware for it"),
        "{explanation}"
    );
    assert!(
        explanation.contains("not edge 2.0.59: tidegate/latest: no"),
        "{explanation}"
    );
    let checked_versions = checked_versions.lock();
    // A class that one policy refused is not shown to the next.
    assert_eq!(
        (
            checked_versions.len(),
            checked_versions.last().map(String::as_str)
        ),
        (62, Some("1.0.0"))
    );
}

#[tokio::test]
async fn a_truncated_search_is_explained() {
    let (fixture, checked_versions) =
        latest_fixture(|input| input.firmware.version == "1.1.0").await;
    publish(&fixture, "1.1.0", |_| {}).await;
    for n in 0..220 {
        publish(&fixture, &format!("2.0.{n}"), |_| {}).await;
    }
    assert!(process(&fixture).await.is_empty());
    assert_eq!(checked_versions.lock().len(), 200);
    let explanation = explained(&fixture).await;
    assert!(
        explanation.contains("only the 200 of the highest versions were checked"),
        "{explanation}"
    );
}

#[tokio::test]
async fn the_models_of_a_firmware_are_read_from_its_image() {
    let image = |key: &'static str, value: &'static str| {
        move |details: &mut FirmwareDetails| {
            details.device_model = None;
            details.metadata.insert(key.to_owned(), value.to_owned());
        }
    };
    let (fixture, _) = latest_fixture(|_| true).await;
    publish(&fixture, "9.0.0", image("rauc.compatible", "cm4")).await;
    publish(&fixture, "8.0.0", image("swu.boards", r#"{"cm4":["1.0"]}"#)).await;
    publish(
        &fixture,
        "7.0.0",
        image("swu.boards", r#"{"cm4":["1.0"],"rpi4":["1.0"]}"#),
    )
    .await;
    assert_eq!(process(&fixture).await, ["7.0.0", "7.0.0"]);
    publish(&fixture, "7.1.0", image("rauc.compatible", "rpi4")).await;
    publish(
        &fixture,
        "7.2.0",
        image("swu.hardware_compatibility", r#"["1.0"]"#),
    )
    .await;
    let explanation = explained(&fixture).await;
    assert!(
        explanation.contains("latest chooses edge 7.2.0"),
        "{explanation}"
    );

    // Without the policy that evaluates images, a firmware that names its models only in its image is not chosen.
    let store = fixture.engine.store();
    let revision = store
        .revisions_of(fixture.tenant(), &PluginName::built_in("hardware"))
        .await;
    let digest = revision.expect("the database answers")[0].stored.digest;
    let disabled = store
        .change_revision_state(
            &fixture.ctx(),
            &PluginName::built_in("hardware"),
            digest,
            RevisionState::Disabled,
        )
        .await;
    disabled.expect("a revision");
    let explanation = explained(&fixture).await;
    assert!(
        explanation.contains("not edge 7.2.0: the policy hardware, which checks"),
        "{explanation}"
    );
    assert!(
        explanation.ends_with("latest chooses no firmware for it"),
        "{explanation}"
    );
}

#[tokio::test]
async fn versions_without_an_order_are_skipped_with_a_reason() {
    let (fixture, checked_versions) = latest_fixture(|_| true).await;
    for version in ["2026.05", "2026.05.1.7", "2026.6-1", "nightly", "zeta 9"] {
        publish(&fixture, version, |_| {}).await;
    }
    assert_eq!(process(&fixture).await, ["2026.05.1.7", "2026.05.1.7"]);
    let checked_versions = checked_versions.lock().clone();
    assert!(
        checked_versions
            .iter()
            .all(|version| version == "2026.05.1.7"),
        "{checked_versions:?}"
    );
    let explanation = explained(&fixture).await;
    for sentence in [
        "not edge nightly: its version has no order, such as 1.2.3 or 2026.05 has",
        "not edge zeta 9: its version has no order, such as 1.2.3 or 2026.05 has",
        "not edge 2026.6-1: it is a beta",
        "latest chooses edge 2026.05.1.7 for it",
    ] {
        assert!(explanation.contains(sentence), "{sentence}: {explanation}");
    }
}

#[tokio::test]
async fn devices_get_what_was_published_while_a_default_policy_was_disabled() {
    let (fixture, _) = latest_fixture(|_| true).await;
    let store = fixture.engine.store();
    let revision = store
        .revisions_of(fixture.tenant(), &PluginName::built_in("latest"))
        .await;
    let revision = revision.expect("the database answers");
    let digest = revision[0].stored.digest;
    let change = async |state| {
        let ctx = fixture.ctx();
        let plugin = PluginName::built_in("latest");
        let changed = store.change_revision_state(&ctx, &plugin, digest, state);
        assert!(changed.await.expect("the database answers"));
    };
    change(RevisionState::Disabled).await;
    publish(&fixture, "7.0.0", |_| {}).await;
    assert!(process(&fixture).await.is_empty());
    change(RevisionState::Enabled).await;
    assert_eq!(process(&fixture).await, ["7.0.0", "7.0.0"]);
}

#[tokio::test]
async fn a_policy_that_fails_under_load_is_asked_again_about_the_newest_release() {
    let (fixture, _) = latest_fixture(|_| true).await;
    for version in ["1.1.0", "1.2.0"] {
        publish(&fixture, version, |_| {}).await;
    }
    for failure in [
        CallFailure::Deadline(Duration::from_millis(250)),
        CallFailure::Host("compiling it took too long".to_owned()),
    ] {
        fixture.sandbox.checks(move |input| {
            if input.firmware.version == "1.2.0" {
                return Err(failure.clone());
            }
            Ok(vec![Compatibility::Compatible; input.classes.len()])
        });
        assert!(process(&fixture).await.is_empty());
    }
    // No event has marked the tenant dirty again.
    fixture
        .sandbox
        .checks(|input| Ok(vec![Compatibility::Compatible; input.classes.len()]));
    assert_eq!(process(&fixture).await, ["1.2.0", "1.2.0"]);
}
