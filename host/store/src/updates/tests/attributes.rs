use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    device::{AttributeMode, AttributeNames, MAX_ATTRIBUTES},
    feedback::{Execution, Finished},
    plugin::RollbackScope,
    update::{SuccessCriteria, UpdateEvent},
};
use tidegate_engine::ports::{
    DeviceReport, PageRequest, Registry as _, ReportedAttributes, Runs as _, Statistics as _,
    TickOutcome, UpdateFilter, Updates as _,
};

use super::*;
use crate::test_fixture::ALL;

fn report(
    store: &TestStore,
    device: DeviceKey,
    mode: AttributeMode,
    data: &[(&str, Option<&str>)],
) -> DeviceReport {
    let text = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
    let attributes = ReportedAttributes {
        mode,
        data: data.iter().map(text).collect(),
        names: AttributeNames::default(),
    };
    DeviceReport {
        tenant: store.ours,
        device,
        by: None,
        read_at: None,
        at: NOON,
        event: DeviceEvent::Attributes(attributes),
    }
}

fn texts(attributes: &BTreeMap<String, String>) -> Vec<String> {
    attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

on_both! {
    async fn reported_attributes_are_merged(store) {
        use AttributeMode as M;
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        for (mode, data, expected) in [
            (M::Merge, &[("a", Some("1")), ("hw_model", Some("A"))][..], &["a=1", "hw_model=A"][..]),
            (M::Merge, &[("a", None), ("b", Some("2\0"))], &["b=2\u{FFFD}", "hw_model=A"]),
            (M::Remove, &[("b", Some("ignored")), ("x", None)], &["hw_model=A"]),
            (M::Replace, &[("c", Some("3")), ("sw_version", Some("1.2"))], &["c=3", "sw_version=1.2"]),
        ] {
            let recorded = store.report(report(store, key, mode, data)).await?;
            assert!(!recorded.changes_update && !recorded.view.wants_attributes);
            assert_eq!(texts(&device(store, 0).await?.attributes), expected);
        }
        let reported = device(store, 0).await?;
        assert_eq!((reported.hw_model, reported.sw_version.as_deref()), (None, Some("1.2")));
    }

    async fn too_many_attributes_are_refused(store) {
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        let names: Vec<String> = (0..MAX_ATTRIBUTES).map(|n| format!("k{n}")).collect();
        let data: Vec<_> = names.iter().map(|name| (name.as_str(), Some("v"))).collect();
        store.report(report(store, key, AttributeMode::Merge, &data)).await?;
        let more = report(store, key, AttributeMode::Merge, &[("k0", Some("w")), ("more", Some("v"))]);
        let refused = store.report(more).await;
        assert!(matches!(refused, Err(RecordError::TooMany(MAX_ATTRIBUTES))), "{refused:?}");
        let attributes = device(store, 0).await?.attributes;
        assert_eq!(attributes.len(), MAX_ATTRIBUTES);
        assert_eq!(attributes["k0"], "v");
        let theirs = DeviceReport {
            tenant: store.theirs,
            ..report(store, key, AttributeMode::Replace, &[])
        };
        let refused = store.report(theirs).await;
        assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        assert_eq!(device(store, 0).await?.attributes.len(), MAX_ATTRIBUTES);
    }

    async fn the_reported_version_meets_the_success_criteria(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[1], SuccessCriteria::Attested).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        // The version counts only after the device has reported success.
        assert!(!fixture.report_version(key, "1.1.0", later(1)).await?.changes_update);
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        let recorded = fixture.record_event(key, done, later(2)).await??;
        assert_eq!(recorded.view.open, None, "no update is visible");
        assert!(recorded.view.wants_attributes, "its attributes are requested");
        assert_eq!(device(store, 0).await?.state, DeviceState::Pending);
        let recorded = fixture.report_version(key, "1.0.0", later(3)).await?;
        assert!(!recorded.changes_update);
        assert!(recorded.view.wants_attributes, "it reported before the restart: attributes are requested again");
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Verifying);

        // Versions are compared by their sort key.
        let recorded = fixture.report_version(key, "v1.1", later(4)).await?;
        assert_eq!((recorded.changes_update, recorded.campaigns), (true, vec![fixture.campaign()]));
        assert!(!recorded.view.wants_attributes, "it has just reported");
        assert_eq!(fixture.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(fixture.read_run().await?.waves[0].report.counts.completed, 1);
    }

    async fn an_unchanged_attribute_does_not_override_the_installed_version(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        let unrelated = report(store, key, AttributeMode::Merge, &[("ip", Some("10.0.0.7"))]);
        store.report(unrelated).await?;
        let known = device(store, 0).await?;
        assert_eq!(known.attributes["sw_version"], "1.0.0");
        assert_eq!(known.sw_version.as_deref(), Some("1.1.0"));
    }

    async fn changes_are_stored_with_old_and_new_values(store) {
        use AttributeMode as M;
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        for (second, mode, data) in [
            (1, M::Merge, &[("a", Some("1")), ("b", Some("1"))][..]),
            (2, M::Merge, &[("a", Some("1")), ("b", Some("2\0"))]),
            (3, M::Merge, &[("a", Some("1"))]),
            (4, M::Remove, &[("a", None), ("x", None)]),
            (5, M::Replace, &[("c", Some("3"))]),
        ] {
            let report = DeviceReport { at: later(second), ..report(store, key, mode, data) };
            store.report(report).await?;
        }
        let all = PageRequest { limit: 50, offset: 0 };
        let page = store.attribute_changes(store.ours, "d-0", all).await?.expect("the device");
        assert_eq!(page.total, 6);
        let changes: Vec<_> = page.items.iter().map(|change| {
            let (before, after) = (change.before.as_deref(), change.after.as_deref());
            (change.seq, change.report, change.at, change.mode, change.key.as_str(), before, after)
        }).collect();
        let b2 = "2\u{FFFD}";
        assert_eq!(changes, [
            (6, 5, later(5), M::Replace, "c", None, Some("3")),
            (5, 5, later(5), M::Replace, "b", Some(b2), None),
            (4, 4, later(4), M::Remove, "a", Some("1"), None),
            (3, 3, later(2), M::Merge, "b", Some("1"), Some(b2)),
            (2, 1, later(1), M::Merge, "b", None, Some("1")),
            (1, 1, later(1), M::Merge, "a", None, Some("1")),
        ]);
        let part = PageRequest { limit: 2, offset: 3 };
        let part = store.attribute_changes(store.ours, "d-0", part).await?.expect("the device");
        assert_eq!(part.items, page.items[3..5]);
        assert_eq!(store.attribute_changes(store.theirs, "d-0", all).await?, None);
    }

    async fn a_bounded_number_of_changes_is_kept(store) {
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        let names: Vec<String> = (0..90).map(|n| format!("k{n}")).collect();
        for value in 0..7 {
            let value = value.to_string();
            let data: Vec<_> = names.iter().map(|name| (name.as_str(), Some(value.as_str()))).collect();
            store.report(report(store, key, AttributeMode::Merge, &data)).await?;
        }
        let end = PageRequest { limit: 10, offset: 495 };
        let page = store.attribute_changes(store.ours, "d-0", end).await?.expect("the device");
        assert_eq!((page.total, page.items.len()), (500, 5));
        assert_eq!(page.items[4].seq, 131);
    }

    async fn a_device_that_reports_another_version_than_it_should_has_drifted(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        let key = fixture.devices[0];
        let drifted = async || -> anyhow::Result<_> {
            let drift = device(store, 0).await?.drift;
            let count = store.stats(store.ours, NOON, None).await?.drifted_devices;
            Ok((drift.map(|drift| (drift.expected, drift.since)), count))
        };
        fixture.report_version(key, "0.9.0", later(1)).await?;
        assert_eq!(drifted().await?, (None, 0), "no update has completed");
        fixture.release(&[2]).await?;
        fixture.report_version(key, "1.1.0", later(2)).await?;
        fixture.report_success(key, later(3)).await?;
        assert_eq!(drifted().await?, (None, 0));

        fixture.report_version(key, "1.0.0", later(4)).await?;
        let since = Some(("1.1.0".to_owned(), later(4)));
        assert_eq!(drifted().await?, (since.clone(), 1));
        let recorded = fixture.report_version(key, "0.9.0", later(5)).await?;
        assert_eq!(drifted().await?, (since, 1), "the drift has its first time");
        assert_eq!(recorded.view.open, None, "the drift creates no update");

        let unrelated = report(store, key, AttributeMode::Merge, &[("ip", Some("10.0.0.7"))]);
        store.report(unrelated).await?;
        assert_eq!(drifted().await?.1, 1);
        fixture.report_version(key, "v1.1", later(6)).await?;
        assert_eq!(drifted().await?, (None, 0), "an equal version");

        fixture.report_version(key, "1.0.0", later(7)).await?;
        assert_eq!(drifted().await?.1, 1);
        store.delete_device(store.ours, "d-0", later(8)).await?;
        assert_eq!(store.stats(store.ours, NOON, None).await?.drifted_devices, 0);
    }

    async fn a_version_that_completes_several_updates_wakes_the_campaigns_of_all(store) {
        let fixture = StoreFixture::with_success_criteria(store, &[1], SuccessCriteria::Attested).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        let another = fixture.start_another_campaign(later(2)).await?;
        let fence = store.lease(another, "us", later(2), later(2)).await?.expect("it is not leased");
        let applied = TickOutcome { levels: Some(vec![1]), ..fixture.noop_for(another).await? };
        assert!(store.apply(another, fence, applied).await?);
        store.offer_updates(another, fence, 0, 10, &fixture.offer(later(2)), false).await?;
        let all = UpdateFilter { campaign: Some(another.campaign), device: None, status: None };
        let second = store.list_updates(store.ours, &all, ALL).await?.items[0].update.id;
        let done = UpdateEvent::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        fixture.report(key, second, done, later(3)).await?;

        let recorded = fixture.report_version(key, "1.1.0", later(4)).await?;
        let woken: BTreeSet<_> = recorded.campaigns.into_iter().collect();
        assert_eq!(woken, BTreeSet::from([fixture.campaign(), another.campaign]));
    }

    async fn the_version_of_an_open_update_is_no_drift(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let key = fixture.devices[0];
        fixture.report_success(key, later(1)).await?;
        let fence = fixture.start_rollback().await?;
        let returned = store.create_rollback_updates(fixture.run, fence, RollbackScope::Everything, 10, &fixture.offer(later(2))).await?;
        assert_eq!(returned.affected.len(), 1);
        // It restarts before it reports success.
        fixture.report_version(key, "1.0.0", later(3)).await?;
        assert_eq!(device(store, 0).await?.drift, None);
        fixture.report_success(key, later(4)).await?;
        assert_eq!(device(store, 0).await?.drift, None);
        fixture.report_version(key, "1.1.0", later(5)).await?;
        assert_eq!(device(store, 0).await?.drift.map(|drift| drift.expected).as_deref(), Some("1.0.0"));
    }
}
