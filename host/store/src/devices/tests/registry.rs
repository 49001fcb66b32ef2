//! Changes and deletions of devices by operators.

use tidegate_core::{
    device::Device,
    mode::DeviceMode,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::ports::{
    ChangeError, DeviceChange, Devices as _, MAX_LABELS, NewDevice, Runs as _, Statistics as _,
    Updates as _,
};

use super::*;
use crate::test_fixture::{NOON, StoreFixture, later};

fn labels(labels: &[(&str, Option<&str>)]) -> BTreeMap<String, Option<String>> {
    let label = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
    labels.iter().map(label).collect()
}

async fn read(store: &TestStore, id: &str) -> anyhow::Result<Device> {
    Ok(store.device(store.ours, id).await?.expect("it exists"))
}

on_both! {
    async fn only_named_fields_change(store) {
        let new = NewDevice {
            name: "the first".into(),
            feed: Some("stable".into()),
            labels: [("rack".to_owned(), "7".to_owned()), ("row".to_owned(), "b".to_owned())].into(),
            mode: DeviceMode::Manual,
            pinned: true,
            ..device("gate-1", &["lab"], &[("site", "1")])
        };
        store.create_device(store.ours, new).await?;
        store.create_device(store.theirs, device("gate-1", &["lab"], &[])).await?;
        let created = read(store, "gate-1").await?;
        assert_eq!((created.feed.as_deref(), created.mode, created.pinned), (Some("stable"), DeviceMode::Manual, true));
        assert_eq!(created.labels["row"], "b");

        let nothing = store.change_device(store.ours, "gate-1", DeviceChange::at(NOON)).await?;
        assert!(nothing.is_empty());
        assert_eq!(read(store, "gate-1").await?, created);

        let change = DeviceChange {
            groups: Some(vec!["berlin".into(), "attic".into(), "berlin".into()]),
            feed: Some(None),
            labels: labels(&[("rack", Some("8\0")), ("row", None), ("column", Some(""))]),
            mode: Some(DeviceMode::Latest),
            ..DeviceChange::at(NOON)
        };
        store.change_device(store.ours, "gate-1", change).await?;
        let changed = read(store, "gate-1").await?;
        assert_eq!((changed.name.as_str(), changed.pinned), ("the first", true));
        assert_eq!(changed.groups, ["attic", "berlin"]);
        assert_eq!((changed.feed, changed.mode), (None, DeviceMode::Latest));
        assert_eq!(changed.labels, [("column", ""), ("rack", "8\u{FFFD}")].map(|(k, v)| (k.to_owned(), v.to_owned())).into());
        assert_eq!(changed.attributes, created.attributes);

        let change = DeviceChange {
            name: Some(String::new()),
            groups: Some(Vec::new()),
            clears_labels: true,
            pinned: Some(false),
            ..DeviceChange::at(NOON)
        };
        store.change_device(store.ours, "gate-1", change).await?;
        let changed = read(store, "gate-1").await?;
        assert_eq!((changed.name.as_str(), changed.pinned), ("gate-1", false));
        assert!(changed.groups.is_empty() && changed.labels.is_empty());
        let theirs = store.device(store.theirs, "gate-1").await?.expect("theirs");
        assert_eq!(theirs.groups, ["lab"]);
    }

    async fn attributes_are_requested_until_an_operator_stops_it(store) {
        store.create_device(store.ours, device("gate-1", &[], &[])).await?;
        store.create_device(store.theirs, device("gate-1", &[], &[])).await?;
        let is_asked = async |tenant| -> anyhow::Result<bool> {
            Ok(store.poll_view(tenant, "gate-1").await?.expect("it exists").wants_attributes)
        };
        for (requests_attributes, expected) in [(Some(false), false), (Some(true), true), (None, true), (Some(false), false)] {
            let change = DeviceChange { requests_attributes, ..DeviceChange::at(NOON) };
            store.change_device(store.ours, "gate-1", change).await?;
            assert_eq!(is_asked(store.ours).await?, expected, "{requests_attributes:?}");
        }
        assert!(is_asked(store.theirs).await?, "it never reported");
    }

    async fn a_refused_change_changes_nothing(store) {
        store.create_device(store.ours, device("gate-1", &[], &[])).await?;
        let many: Vec<String> = (0..MAX_LABELS).map(|n| format!("l{n}")).collect();
        let many: Vec<_> = many.iter().map(|key| (key.as_str(), Some(""))).collect();
        let change = DeviceChange { labels: labels(&many), ..DeviceChange::at(NOON) };
        store.change_device(store.ours, "gate-1", change).await?;
        let change = DeviceChange {
            name: Some("other".into()),
            labels: labels(&[("one-more", Some(""))]),
            ..DeviceChange::at(NOON)
        };
        let refused = store.change_device(store.ours, "gate-1", change).await;
        assert!(matches!(refused, Err(ChangeError::TooManyLabels)), "{refused:?}");
        let same = read(store, "gate-1").await?;
        assert_eq!((same.name.as_str(), same.labels.len()), ("gate-1", MAX_LABELS));
        for tenant in [store.theirs, store.ours] {
            let id = if tenant == store.ours { "gate-2" } else { "gate-1" };
            let refused = store.change_device(tenant, id, DeviceChange::at(NOON)).await;
            assert!(matches!(refused, Err(ChangeError::NotFound)), "{refused:?}");
        }
    }

    async fn a_deleted_device_is_gone_and_the_campaign_keeps_its_counts(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[2]).await?;
        fixture.report_success(fixture.devices[0], later(1)).await?;
        let open = fixture.latest_update(fixture.devices[1]).await?.update.id;
        for id in ["d-0", "d-1", "d-2"] {
            let campaigns = store.delete_device(store.ours, id, later(2)).await?.expect("it existed");
            assert_eq!(campaigns.contains(&fixture.campaign()), id != "d-2", "{id}");
            assert_eq!(store.device(store.ours, id).await?, None);
            assert_eq!(store.poll_view(store.ours, id).await?, None);
        }
        assert_eq!(store.delete_device(store.ours, "d-0", later(2)).await?, None);
        let run = fixture.read_run().await?;
        let counts = run.waves[0].report.counts;
        assert_eq!((counts.completed, counts.cancelled, counts.pending), (1, 1, 1));
        assert_eq!((run.rollback_progress.open_updates, run.rollback_progress.rollback_pending), (0, 0));
        assert!(store.due(later(3), 9).await?.contains(&fixture.run), "the strategy has something to see");

        let refused = fixture.report(fixture.devices[1], open, UpdateEvent::Retrieved, later(3)).await;
        assert!(matches!(refused, Err(tidegate_engine::ports::RecordError::NotFound)), "{refused:?}");
        assert_eq!(fixture.updates_of(fixture.devices[0]).await?.total, 0);
        let stats = store.stats(store.ours, NOON, None).await?;
        assert_eq!(stats.devices_by_state, []);
        assert_eq!((stats.devices_by_version, stats.devices_by_model), (vec![], vec![]));

        // The deleted device is skipped by its wave, and a rollback does not find it.
        fixture.release(&[3]).await?;
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.cancelled, 2);
        fixture.start_rollback().await?;
        assert_eq!(fixture.read_run().await?.rollback_progress.rollback_pending, 0);
    }

    async fn a_deleted_device_comes_back_as_a_new_one(store) {
        let created = device("gate-1", &["lab"], &[("site", "1")]);
        let was = store.create_device(store.ours, created).await?;
        store.delete_device(store.ours, "gate-1", NOON).await?;
        let is = store.register(store.ours, "gate-1", later(1)).await?.device;
        assert_ne!(was, is);
        let back = read(store, "gate-1").await?;
        assert!(back.groups.is_empty() && back.attributes.is_empty());
        assert_eq!(back.created_at, later(1));
    }

    async fn a_deleted_device_leaves_the_updates_of_others(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        fixture.release(&[2]).await?;
        store.delete_device(store.ours, "d-0", later(1)).await?;
        assert_eq!(fixture.status_of(fixture.devices[1]).await?, UpdateStatus::Offered);
        let deleted = store.delete_device(store.theirs, "d-1", later(1)).await?;
        assert_eq!(deleted, None);
        assert!(store.update(store.ours, fixture.latest_update(fixture.devices[1]).await?.update.id).await?.is_some());
    }
}
