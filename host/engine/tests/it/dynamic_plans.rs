//! Plans that are dynamic: devices that match later join the last wave.

use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    id::CampaignId,
    mode::DeviceMode,
    plugin::{Compatibility, DecisionOutcome, Members, Plan},
};
use tidegate_engine::{
    campaigns::{self, MembershipStatus},
    ports::{CallFailure, DeviceChange, EntryKind, NewDevice, Wave},
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, explain, plan},
    scripted_sandbox::decision,
};

/// A started campaign on this many devices: a wave of one, and the rest.
async fn dynamic(devices: usize) -> (EngineFixture, CampaignId) {
    let fixture = EngineFixture::new(devices).await;
    *fixture.sandbox.plan.lock() = Box::new(|_| {
        Ok(Plan {
            dynamic: true,
            ..plan(&[Members::Count(1), Members::Rest])
        })
    });
    fixture.sandbox.checks(|input| {
        let verdict = |model: Option<&str>| match model {
            Some("toaster") => Compatibility::Incompatible("it is a toaster".to_owned()),
            _ => Compatibility::Compatible,
        };
        let classes = input.classes.iter();
        Ok(classes
            .map(|class| verdict(class.key.hardware_model.as_deref()))
            .collect())
    });
    let mut request = campaign_request(fixture.add_firmware("1.1.0").await);
    request.targets.groups = vec!["lab".to_owned()];
    let id = fixture.create_and_start(request).await;
    (fixture, id)
}

impl EngineFixture {
    async fn add(&self, device_id: &str, model: &str, mode: DeviceMode) {
        let attributes = [("hw_model", model), ("sw_version", "1.0.0")];
        let device = NewDevice {
            device_id: device_id.to_owned(),
            groups: vec!["lab".to_owned()],
            mode,
            attributes: attributes
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            ..NewDevice::default()
        };
        let created = self.engine.store().create_device(&self.ctx(), device).await;
        created.expect("a device");
    }

    async fn join(&self) {
        campaigns::join_changed_devices(&self.engine)
            .await
            .expect("devices are checked");
    }

    async fn last_wave(&self, id: CampaignId) -> Wave {
        let waves = campaigns::waves(&self.ctx(), self.engine.store(), id).await;
        waves.expect("waves").pop().expect("a wave")
    }

    async fn explained_by_campaign(&self, device_id: &str) -> (MembershipStatus, String) {
        let explained = explain(&self.ctx(), self.engine.store(), device_id).await;
        let explained = explained.expect("an explanation").remove(0);
        (explained.status, explained.reasons.join("\n"))
    }

    /// Number of entries of this kind in the journal.
    async fn entries(&self, id: CampaignId, kind: EntryKind) -> usize {
        let journal = self.journal(id).await;
        journal.iter().filter(|entry| entry.kind == kind).count()
    }
}

#[tokio::test]
async fn a_new_device_is_released_when_the_strategy_raises_the_level() {
    let (fixture, id) = dynamic(2).await;
    fixture
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1), (1, 1)], DecisionOutcome::Proceed)));
    fixture.tick(id).await;
    fixture.report_result(id, Finished::Success).await;
    let checks = fixture.entries(id, EntryKind::Check).await;

    fixture.add("late", "rpi4", DeviceMode::Rollout).await;
    let reason = fixture.explained_by_campaign("late").await;
    assert_eq!(reason.0, MembershipStatus::NotSelected);
    assert!(reason.1.contains("it joins the last wave"), "{}", reason.1);
    fixture.join().await;
    fixture.join().await;
    let wave = fixture.last_wave(id).await;
    assert_eq!((wave.report.size, wave.report.counts.pending), (2, 1));
    assert_eq!(
        fixture.entries(id, EntryKind::Check).await,
        checks,
        "the class was checked at the start"
    );
    let campaign = fixture.campaign(id).await;
    assert_eq!((campaign.total_devices, campaign.joined_devices), (3, 1));
    fixture.tick(id).await;
    assert_eq!(
        fixture.updates(id).await.len(),
        2,
        "the level has not changed"
    );
    let (status, reasons) = fixture.explained_by_campaign("late").await;
    assert_eq!(status, MembershipStatus::Waiting);
    assert!(reasons.contains("it joined later, at "), "{reasons}");
    assert!(reasons.contains("number 2 of 2 in wave 1"), "{reasons}");

    fixture.sandbox.decides(|observation| {
        let size = observation.waves[1].size;
        Ok(decision(&[(0, 1), (1, size)], DecisionOutcome::Proceed))
    });
    fixture.tick(id).await;
    let open = fixture.open(id).await;
    assert_eq!(
        open.iter().map(|row| &*row.device_id).collect::<Vec<_>>(),
        ["late"]
    );
    fixture.report_result(id, Finished::Success).await;
    assert_eq!(fixture.counts(id).await.completed, 3);
    assert_eq!(fixture.version_of("late").await.as_deref(), Some("1.1.0"));
    assert_eq!(fixture.entries(id, EntryKind::Plan).await, 1, "once");
    let joined = fixture.host_outcomes(id).await;
    assert_eq!(joined, ["joined"]);
}

#[tokio::test]
async fn an_incompatible_device_is_excluded_until_it_changes() {
    let (fixture, id) = dynamic(1).await;
    fixture.add("late", "toaster", DeviceMode::Rollout).await;
    fixture.join().await;
    let (status, reasons) = fixture.explained_by_campaign("late").await;
    assert_eq!(status, MembershipStatus::Excluded);
    for sentence in ["checked at ", "toaster", "acme/fits: it is a toaster"] {
        assert!(reasons.contains(sentence), "{sentence}: {reasons}");
    }
    let checks = fixture.entries(id, EntryKind::Check).await;
    assert_eq!(checks, 2, "one at the start, one of the new class");
    let campaign = fixture.campaign(id).await;
    assert_eq!((campaign.total_devices, campaign.joined_devices), (2, 0));

    let device = fixture
        .engine
        .store()
        .device(fixture.tenant(), "late")
        .await;
    let key = device.expect("the database answers").expect("a device").key;
    fixture.report_attribute(key, "site", "roof").await;
    fixture.join().await;
    let journal = fixture.journal(id).await.len();
    fixture.report_attribute(key, "hw_model", "rpi4").await;
    fixture.join().await;
    let (status, reasons) = fixture.explained_by_campaign("late").await;
    assert_eq!(status, MembershipStatus::Waiting, "{reasons}");
    let campaign = fixture.campaign(id).await;
    assert_eq!((campaign.total_devices, campaign.joined_devices), (2, 1));
    assert_eq!(fixture.journal(id).await.len(), journal + 1);
}

#[tokio::test]
async fn devices_in_other_modes_join_when_their_mode_is_rollout() {
    let (fixture, id) = dynamic(1).await;
    fixture.add("late", "rpi4", DeviceMode::Manual).await;
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.total_devices, 1);
    let rollout = DeviceChange {
        mode: Some(DeviceMode::Rollout),
        ..DeviceChange::at(fixture.engine.now())
    };
    let store = fixture.engine.store();
    let changed = store.change_device(&fixture.ctx(), "late", rollout).await;
    changed.expect("a device");
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.joined_devices, 1);
}

#[tokio::test]
async fn a_device_waits_for_a_busy_policy() {
    let (fixture, id) = dynamic(1).await;
    fixture
        .sandbox
        .checks(|_| Err(CallFailure::Deadline(Duration::from_secs(1))));
    fixture.add("late", "cm4", DeviceMode::Rollout).await;
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.total_devices, 1);
    fixture
        .sandbox
        .checks(|input| Ok(vec![Compatibility::Compatible; input.classes.len()]));
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.total_devices, 1, "it waits");
    fixture.clock.advance(Duration::from_secs(10));
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.joined_devices, 1);
}

#[tokio::test]
async fn a_device_joins_a_paused_campaign_and_none_that_was_cancelled() {
    let (fixture, id) = dynamic(1).await;
    fixture.pause(id, "lunch").await;
    fixture.add("paused", "rpi4", DeviceMode::Rollout).await;
    fixture.join().await;
    assert_eq!(fixture.last_wave(id).await.report.size, 1);
    fixture.resume(id).await;
    let (store, signals) = (fixture.engine.store(), fixture.engine.signals());
    fixture.add("late", "rpi4", DeviceMode::Rollout).await;
    campaigns::cancel(&fixture.ctx(), store, signals, id, "enough")
        .await
        .expect("the campaign is cancelled");
    fixture.join().await;
    assert_eq!(fixture.status(id).await, CampaignStatus::Cancelled);
    assert_eq!(fixture.last_wave(id).await.report.size, 1);
    let (status, reasons) = fixture.explained_by_campaign("late").await;
    assert_eq!(status, MembershipStatus::NotSelected);
    assert!(!reasons.contains("joins"), "{reasons}");
}

#[tokio::test]
async fn a_device_that_changed_while_the_campaign_started_joins_later() {
    let (fixture, id) = dynamic(1).await;
    fixture.add("late", "rpi4", DeviceMode::Rollout).await;
    // As if its transaction had not seen the campaign.
    let (store, tenant) = (fixture.engine.store(), fixture.tenant());
    let noted = store
        .changed_devices(tenant, fixture.engine.now(), 10)
        .await;
    let noted = noted.expect("the database answers");
    store
        .forget_changes(tenant, &noted)
        .await
        .expect("forgotten");
    fixture.clock.advance(Duration::from_secs(59));
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.joined_devices, 0);
    fixture.clock.advance(Duration::from_secs(1));
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.joined_devices, 1);
    let joinable = store.dynamic_campaigns().await.expect("campaigns");
    assert_eq!(joinable[0].scan_at, None, "once");
}

#[tokio::test]
async fn a_device_moves_into_the_targets_and_a_member_that_leaves_them_stays() {
    let (fixture, id) = dynamic(1).await;
    // It matches neither the filter nor the group.
    fixture.add("late", "toaster", DeviceMode::Rollout).await;
    let groups = |groups: &[&str]| DeviceChange {
        groups: Some(groups.iter().map(|group| (*group).to_owned()).collect()),
        ..DeviceChange::at(fixture.engine.now())
    };
    fixture
        .sandbox
        .checks(|input| Ok(vec![Compatibility::Compatible; input.classes.len()]));
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let changed = store.change_device(&ctx, "late", groups(&[])).await;
    changed.expect("a device");
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.joined_devices, 0);
    let changed = store.change_device(&ctx, "late", groups(&["lab"])).await;
    changed.expect("a device");
    fixture.join().await;
    assert_eq!(fixture.campaign(id).await.joined_devices, 1);
    let changed = store.change_device(&ctx, "late", groups(&[])).await;
    changed.expect("a device");
    fixture.join().await;
    let (status, _) = fixture.explained_by_campaign("late").await;
    assert_eq!(status, MembershipStatus::Waiting);
}
