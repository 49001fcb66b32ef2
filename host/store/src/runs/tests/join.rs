//! Devices that join the last wave of a campaign whose plan is dynamic.

use std::collections::BTreeSet;

use tidegate_core::{
    campaign::CampaignStatus,
    id::DeviceKey,
    plugin::ClassKey,
    update::{SuccessCriteria, UpdateStatus},
};
use tidegate_engine::ports::{
    AcceptedClass, CampaignChange, CampaignStart, Campaigns as _, ChangedDevice, ClassVerdict,
    DeviceChange, Devices as _, DynamicPlans as _, LateDevice, LateDevices, Membership,
    NewCampaign, NewDevice, Outsider, Runs as _,
};

use crate::{
    test_fixture::{NOON, StoreFixture, later, spec},
    testing::{TestStore, on_both},
};

/// The campaign of the fixture with a dynamic plan of waves of these sizes instead of its own.
async fn dynamic<'a>(store: &'a TestStore, waves: &[usize]) -> anyhow::Result<StoreFixture<'a>> {
    let mut fixture = StoreFixture::new(store, waves).await?;
    let campaign = NewCampaign {
        spec: spec(fixture.new, SuccessCriteria::Reported),
        created_by: "creator".into(),
        created_at: NOON,
    };
    fixture.run.campaign = store.create_campaign(store.ours, campaign).await?;
    assert_eq!(store.dynamic_campaigns().await?, []);
    let mut start = CampaignStart {
        is_dynamic: true,
        ..fixture.campaign_start(waves)
    };
    // Excluded for its mode, without a check.
    start.classes.push(ClassVerdict {
        key: class("B"),
        devices: 0,
        excluded: Some("in mode manual".into()),
        is_unchecked: true,
        intermediate: None,
    });
    let id = fixture.run.campaign;
    assert!(store.start_campaign(store.ours, id, 0, start).await?);
    Ok(fixture)
}

fn class(model: &str) -> ClassKey {
    ClassKey {
        hardware_model: Some(model.to_owned()),
        ..ClassKey::default()
    }
}

fn verdict(model: &str, excluded: Option<&str>) -> ClassVerdict {
    ClassVerdict {
        key: class(model),
        devices: 1,
        excluded: excluded.map(str::to_owned),
        is_unchecked: false,
        intermediate: None,
    }
}

/// These devices, which the campaign has not selected, with new verdicts.
fn late(devices: &[(DeviceKey, ClassKey)], classes: Vec<ClassVerdict>) -> LateDevices {
    let devices = devices.iter().map(|(device, class)| LateDevice {
        outsider: Outsider {
            device: *device,
            excluded_as: None,
        },
        class: class.clone(),
    });
    LateDevices {
        at: later(10),
        classes,
        devices: devices.collect(),
        journal: Vec::new(),
    }
}

async fn register(store: &TestStore, id: &str) -> anyhow::Result<DeviceKey> {
    Ok(store.register(store.ours, id, NOON).await?.device)
}

async fn set_status(fixture: &StoreFixture<'_>, status: CampaignStatus) -> anyhow::Result<()> {
    let (store, generation) = (
        fixture.store(),
        fixture.read_run().await?.campaign.generation,
    );
    let change = CampaignChange {
        status: Some(status),
        ..CampaignChange::default()
    };
    let id = fixture.campaign();
    assert!(
        store
            .change_campaign(store.ours, id, generation, change)
            .await?
    );
    Ok(())
}

on_both! {
    async fn changed_devices_are_noted_while_a_campaign_can_be_joined(store) {
        let mut plain = StoreFixture::new(store, &[1]).await?;
        register(store, "before").await?;
        let noted = async || store.changed_devices(store.ours, NOON, 100).await;
        assert_eq!(noted().await?, [], "no campaign can be joined");
        let run = {
            let campaign = NewCampaign {
                spec: spec(plain.new, SuccessCriteria::Reported),
                created_by: "creator".into(),
                created_at: NOON,
            };
            let id = store.create_campaign(store.ours, campaign).await?;
            let start = CampaignStart { is_dynamic: true, ..plain.campaign_start(&[1]) };
            assert!(store.start_campaign(store.ours, id, 0, start).await?);
            tidegate_engine::ports::RunRef { campaign: id, ..plain.run }
        };
        let joinable = store.dynamic_campaigns().await?;
        assert_eq!((joinable[0].run, joinable[0].scan_at), (run, Some(later(60))));

        let registered = register(store, "registered").await?;
        let new = NewDevice { device_id: "created".into(), ..NewDevice::default() };
        let created = store.create_device(store.ours, new).await?;
        let devices = async || anyhow::Ok(noted().await?.into_iter().map(|noted| noted.device).collect::<Vec<_>>());
        assert_eq!(devices().await?, [registered, created]);
        register(store, "registered").await?;
        assert_eq!(noted().await?[0].changes, 1, "it was registered already");

        // A device that changes while it is checked stays noted.
        let checked = noted().await?;
        register(store, "created").await?;
        store.forget_changes(store.ours, &checked).await?;
        assert_eq!(noted().await?, [ChangedDevice { device: created, changes: 2 }]);
        store.forget_changes(store.theirs, &noted().await?).await?;
        store.postpone_changes(store.ours, &noted().await?, later(9)).await?;
        assert_eq!(noted().await?, []);
        let later_noted = store.changed_devices(store.ours, later(9), 100).await?;
        store.forget_changes(store.ours, &later_noted).await?;

        let groups = DeviceChange { groups: Some(vec!["north".into()]), ..DeviceChange::at(NOON) };
        store.change_device(store.ours, "before", groups).await?;
        let member = plain.devices[0];
        plain.report_attribute(registered, "site", "a", later(1)).await?;
        plain.report_version(member, "1.0.9", later(1)).await?;
        assert_eq!(devices().await?.len(), 3);
        store.forget_changes(store.ours, &noted().await?).await?;
        plain.report_attribute(registered, "site", "a", later(2)).await?;
        plain.report_version(member, "1.0.9", later(2)).await?;
        assert_eq!(devices().await?, [], "nothing changed");

        store.register(store.theirs, "theirs", NOON).await?;
        assert_eq!(store.changed_devices(store.theirs, NOON, 100).await?, []);
        register(store, "last").await?;
        assert_eq!(store.forget_needless_changes(10).await?, 0, "the campaign can be joined");
        plain.run = run;
        set_status(&plain, CampaignStatus::Paused).await?;
        register(store, "paused").await?;
        assert_eq!(devices().await?.len(), 2);
        set_status(&plain, CampaignStatus::Cancelled).await?;
        register(store, "cancelled").await?;
        assert_eq!(devices().await?.len(), 2);
        assert_eq!(store.dynamic_campaigns().await?, []);
        assert_eq!(store.forget_needless_changes(10).await?, 2);
        assert_eq!(devices().await?, []);
    }

    async fn devices_join_the_last_wave_with_all_counters(store) {
        let fixture = dynamic(store, &[1, 1]).await?;
        let (run, id) = (fixture.run, fixture.campaign());
        let (good, bad) = (register(store, "n-1").await?, register(store, "n-0").await?);
        let keys = BTreeSet::from([fixture.devices[0], good, bad]);
        let outsiders = store.outsiders(run, &keys).await?;
        let expected = [good, bad].map(|device| Outsider { device, excluded_as: None });
        assert_eq!(outsiders, expected, "members are none");
        assert_eq!(store.known_classes(run, &[class("A"), class("B")]).await?.by_key.len(), 0);

        let verdicts = || vec![verdict("A", None), verdict("toaster", Some("hardware: no"))];
        let both = late(&[(good, class("A")), (bad, class("toaster"))], verdicts());
        let before = fixture.read_run().await?.campaign;
        assert!(store.join_devices(run, both.clone()).await?);
        assert!(!store.join_devices(run, both).await?, "once");
        let after = fixture.read_run().await?;
        assert_eq!(after.campaign.generation, before.generation + 1);
        assert_eq!((after.campaign.total_devices, after.campaign.joined_devices), (4, 1));
        assert!(after.campaign.is_dynamic);
        let wave = &after.waves[1].report;
        assert_eq!((wave.size, wave.counts.pending, after.waves[0].report.size), (2, 2, 1));
        assert!(store.due(later(10), 10).await?.contains(&run), "the strategy decides again");
        let joined = Membership::InWave { wave: 1, position: 1, joined_later_at: Some(later(10)), intermediate: None };
        assert_eq!(store.membership(store.ours, id, good).await?, joined);
        assert_eq!(store.membership(store.theirs, id, good).await?, Membership::NotStarted);
        let Membership::Excluded { class: as_class, reason, excluded_later_at } = store.membership(store.ours, id, bad).await? else {
            panic!("it is excluded");
        };
        assert_eq!((as_class, &*reason, excluded_later_at), (class("toaster"), "hardware: no", Some(later(10))));
        let accepted = store.accepted_classes(run).await?;
        let at = |class: ClassKey, at| AcceptedClass { class, at, intermediate: None };
        assert_eq!(accepted, [at(ClassKey::default(), NOON), at(class("A"), later(10))]);

        // Once it is of an accepted class it joins behind the others, and is counted once.
        let outsiders = store.outsiders(run, &keys).await?;
        let known = store.known_classes(run, &[class("A"), class("toaster")]).await?;
        assert_eq!(outsiders, [Outsider { device: bad, excluded_as: Some(known.by_key[&class("toaster")].index) }]);
        let mut again = late(&[(bad, class("A"))], Vec::new());
        again.devices[0].outsider = outsiders[0];
        assert!(store.join_devices(run, again).await?);
        let campaign = fixture.read_run().await?.campaign;
        assert_eq!((campaign.total_devices, campaign.joined_devices), (4, 2));
        assert_eq!(store.outsiders(run, &keys).await?, []);

        fixture.release(&[1, 3]).await?;
        for device in [good, bad] {
            assert_eq!(fixture.status_of(device).await?, UpdateStatus::Offered);
            fixture.report_success(device, later(20)).await?;
        }
        let wave = fixture.read_run().await?.waves[1].report.clone();
        assert_eq!((wave.size, wave.counts.completed, wave.counts.offered), (3, 2, 1));
    }

    async fn devices_that_the_plan_left_out_stay_out(store) {
        let plain = StoreFixture::new(store, &[2]).await?;
        let campaign = NewCampaign {
            spec: spec(plain.new, SuccessCriteria::Reported),
            created_by: "creator".into(),
            created_at: NOON,
        };
        let id = store.create_campaign(store.ours, campaign).await?;
        let start = CampaignStart { is_dynamic: true, ..plain.campaign_start(&[1]) };
        assert!(store.start_campaign(store.ours, id, 0, start).await?);
        let run = tidegate_engine::ports::RunRef { campaign: id, ..plain.run };
        let keys = plain.devices.iter().copied().collect();
        assert_eq!(store.outsiders(run, &keys).await?, []);
    }

    async fn a_wave_grows_over_several_chunks(store) {
        let fixture = dynamic(store, &[2]).await?;
        let last = fixture.devices[1].0;
        // Deleted devices keep their place.
        for keys in [1..=4095, 4096..=4105] {
            let devices: Vec<_> = keys.map(|n| (DeviceKey(last + n), ClassKey::default())).collect();
            assert!(store.join_devices(fixture.run, late(&devices, Vec::new())).await?);
        }
        let at = async |key| store.membership(store.ours, fixture.campaign(), DeviceKey(last + key)).await;
        for key in [1_u64, 4094, 4095, 4096, 4105] {
            let expected = Membership::InWave { wave: 0, position: key + 1, joined_later_at: Some(later(10)), intermediate: None };
            assert_eq!(at(key.cast_signed()).await?, expected);
        }
        fixture.release(&[4107]).await?;
        let fence = fixture.lease().await?;
        while fixture.offer_updates(fence, 0, 1000).await?.remaining > 0 {}
        let wave = fixture.read_run().await?.waves.remove(0);
        assert_eq!((wave.admitted, wave.report.counts.offered, wave.report.counts.cancelled), (4107, 2, 4105));
    }

    async fn nothing_joins_a_campaign_that_ended_or_whose_plan_is_fixed(store) {
        let mut fixture = dynamic(store, &[1]).await?;
        let new = register(store, "n-0").await?;
        let late = late(&[(new, ClassKey::default())], Vec::new());
        let fixed = fixture.start_another_campaign(later(1)).await?;
        assert!(!store.join_devices(fixed, late.clone()).await?);
        fixture.run = store.dynamic_campaigns().await?[0].run;
        set_status(&fixture, CampaignStatus::RollingBack).await?;
        assert!(!store.join_devices(fixture.run, late).await?);
        assert_eq!(fixture.read_run().await?.waves[0].report.size, 1);
    }
}
