use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::{
    device::{AttributeNames, MAX_ATTRIBUTES},
    feedback::{Execution, Finished},
    plugin::Scope,
    update::{Event, Proof},
};
use tidegate_engine::ports::{
    Applied, AttributeMode, Registry as _, Runs as _, Statistics as _, UpdateFilter,
};

use super::*;
use crate::scene::ALL;

fn report(
    store: &TestStore,
    device: DeviceKey,
    mode: AttributeMode,
    data: &[(&str, Option<&str>)],
) -> AttributesReport {
    let text = |(key, value): &(&str, Option<&str>)| ((*key).to_owned(), value.map(str::to_owned));
    AttributesReport {
        tenant: store.ours,
        device,
        mode,
        data: data.iter().map(text).collect(),
        names: AttributeNames::default(),
        at: NOON,
    }
}

fn texts(attributes: &BTreeMap<String, String>) -> Vec<String> {
    attributes
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

on_both! {
    async fn reported_attributes_join_those_that_are_there(store) {
        use AttributeMode as M;
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        for (mode, data, expected) in [
            (M::Merge, &[("a", Some("1")), ("hw_model", Some("A"))][..], &["a=1", "hw_model=A"][..]),
            (M::Merge, &[("a", None), ("b", Some("2\0"))], &["b=2\u{FFFD}", "hw_model=A"]),
            (M::Remove, &[("b", Some("ignored")), ("x", None)], &["hw_model=A"]),
            (M::Replace, &[("c", Some("3")), ("sw_version", Some("1.2"))], &["c=3", "sw_version=1.2"]),
        ] {
            let recorded = store.record_attributes(report(store, key, mode, data)).await?;
            assert!(!recorded.moved && !recorded.view.wants_attributes);
            assert_eq!(texts(&device(store, 0).await?.attributes), expected);
        }
        let reported = device(store, 0).await?;
        assert_eq!((reported.hw_model, reported.sw_version.as_deref()), (None, Some("1.2")));
    }

    async fn too_many_attributes_are_refused_whole(store) {
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        let names: Vec<String> = (0..MAX_ATTRIBUTES).map(|n| format!("k{n}")).collect();
        let data: Vec<_> = names.iter().map(|name| (name.as_str(), Some("v"))).collect();
        store.record_attributes(report(store, key, AttributeMode::Merge, &data)).await?;
        let more = report(store, key, AttributeMode::Merge, &[("k0", Some("w")), ("more", Some("v"))]);
        let refused = store.record_attributes(more).await;
        assert!(matches!(refused, Err(RecordError::TooMany(MAX_ATTRIBUTES))), "{refused:?}");
        let attributes = device(store, 0).await?.attributes;
        assert_eq!(attributes.len(), MAX_ATTRIBUTES);
        assert_eq!(attributes["k0"], "v");
        let theirs = AttributesReport {
            tenant: store.theirs,
            ..report(store, key, AttributeMode::Replace, &[])
        };
        let refused = store.record_attributes(theirs).await;
        assert!(matches!(refused, Err(RecordError::NotFound)), "{refused:?}");
        assert_eq!(device(store, 0).await?.attributes.len(), MAX_ATTRIBUTES);
    }

    async fn proof_is_the_version_that_the_device_reports(store) {
        let scene = Scene::with_proof(store, &[1], Proof::Attested).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        // Before the device is done, its version says nothing.
        assert!(!scene.reports_version(key, "1.1.0", later(1)).await?.moved);
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        let recorded = scene.happens(key, done, later(2)).await??;
        assert_eq!(recorded.view.open, None, "nothing is left to show");
        assert!(recorded.view.wants_attributes, "the proof is asked for");
        assert_eq!(device(store, 0).await?.state, DeviceState::Pending);
        let recorded = scene.reports_version(key, "1.0.0", later(3)).await?;
        assert!(!recorded.moved);
        assert!(recorded.view.wants_attributes, "it has yet to restart: it is asked again");
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Verifying);

        // Versions compare as versions.
        let recorded = scene.reports_version(key, "v1.1", later(4)).await?;
        assert_eq!((recorded.moved, recorded.campaigns), (true, vec![scene.campaign()]));
        assert!(!recorded.view.wants_attributes, "it has just said");
        assert_eq!(scene.status_of(key).await?, UpdateStatus::Completed);
        assert_eq!(scene.look().await?.waves[0].report.counts.completed, 1);
    }

    async fn an_old_attribute_is_not_the_version_that_an_update_brought(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        let unrelated = report(store, key, AttributeMode::Merge, &[("ip", Some("10.0.0.7"))]);
        store.record_attributes(unrelated).await?;
        let known = device(store, 0).await?;
        assert_eq!(known.attributes["sw_version"], "1.0.0");
        assert_eq!(known.sw_version.as_deref(), Some("1.1.0"));
    }

    async fn changes_are_kept_with_what_was_and_what_is(store) {
        use AttributeMode as M;
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        for (second, mode, data) in [
            (1, M::Merge, &[("a", Some("1")), ("b", Some("1"))][..]),
            (2, M::Merge, &[("a", Some("1")), ("b", Some("2\0"))]),
            (3, M::Merge, &[("a", Some("1"))]),
            (4, M::Remove, &[("a", None), ("x", None)]),
            (5, M::Replace, &[("c", Some("3"))]),
        ] {
            let report = AttributesReport { at: later(second), ..report(store, key, mode, data) };
            store.record_attributes(report).await?;
        }
        let page = PageRequest { limit: 50, offset: 0 };
        let kept = store.attribute_changes(store.ours, "d-0", page).await?.expect("the device");
        assert_eq!(kept.total, 6);
        let told: Vec<_> = kept.items.iter().map(|change| {
            let (before, after) = (change.before.as_deref(), change.after.as_deref());
            (change.seq, change.report, change.at, change.mode, change.key.as_str(), before, after)
        }).collect();
        let b2 = "2\u{FFFD}";
        assert_eq!(told, [
            (6, 5, later(5), M::Replace, "c", None, Some("3")),
            (5, 5, later(5), M::Replace, "b", Some(b2), None),
            (4, 4, later(4), M::Remove, "a", Some("1"), None),
            (3, 3, later(2), M::Merge, "b", Some("1"), Some(b2)),
            (2, 1, later(1), M::Merge, "b", None, Some("1")),
            (1, 1, later(1), M::Merge, "a", None, Some("1")),
        ]);
        let part = PageRequest { limit: 2, offset: 3 };
        let part = store.attribute_changes(store.ours, "d-0", part).await?.expect("the device");
        assert_eq!(part.items, kept.items[3..5]);
        assert_eq!(store.attribute_changes(store.theirs, "d-0", page).await?, None);
    }

    async fn only_so_many_changes_are_kept(store) {
        let key = store.register(store.ours, "d-0", NOON).await?.device;
        let names: Vec<String> = (0..90).map(|n| format!("k{n}")).collect();
        for value in 0..7 {
            let value = value.to_string();
            let data: Vec<_> = names.iter().map(|name| (name.as_str(), Some(value.as_str()))).collect();
            store.record_attributes(report(store, key, AttributeMode::Merge, &data)).await?;
        }
        let end = PageRequest { limit: 10, offset: 495 };
        let kept = store.attribute_changes(store.ours, "d-0", end).await?.expect("the device");
        assert_eq!((kept.total, kept.items.len()), (500, 5));
        assert_eq!(kept.items[4].seq, 131);
    }

    async fn a_device_that_reports_another_version_than_it_should_has_drifted(store) {
        let scene = Scene::set(store, &[2]).await?;
        let key = scene.devices[0];
        let drifted = async || -> anyhow::Result<_> {
            let drift = device(store, 0).await?.drift;
            let count = store.stats(store.ours, NOON).await?.drifted_devices;
            Ok((drift.map(|drift| (drift.expected, drift.since)), count))
        };
        scene.reports_version(key, "0.9.0", later(1)).await?;
        assert_eq!(drifted().await?, (None, 0), "nothing was installed yet");
        scene.release(&[2]).await?;
        scene.reports_version(key, "1.1.0", later(2)).await?;
        scene.succeeds(key, later(3)).await?;
        assert_eq!(drifted().await?, (None, 0));

        scene.reports_version(key, "1.0.0", later(4)).await?;
        let since = Some(("1.1.0".to_owned(), later(4)));
        assert_eq!(drifted().await?, (since.clone(), 1));
        let recorded = scene.reports_version(key, "0.9.0", later(5)).await?;
        assert_eq!(drifted().await?, (since, 1), "it counts once, from the first time");
        assert_eq!(recorded.view.open, None, "it is not sent round");

        let unrelated = report(store, key, AttributeMode::Merge, &[("ip", Some("10.0.0.7"))]);
        store.record_attributes(unrelated).await?;
        assert_eq!(drifted().await?.1, 1);
        scene.reports_version(key, "v1.1", later(6)).await?;
        assert_eq!(drifted().await?, (None, 0), "the same version in another spelling");

        scene.reports_version(key, "1.0.0", later(7)).await?;
        assert_eq!(drifted().await?.1, 1);
        store.delete_device(store.ours, "d-0", later(8)).await?;
        assert_eq!(store.stats(store.ours, NOON).await?.drifted_devices, 0);
    }

    async fn a_version_that_completes_several_updates_wakes_the_campaigns_of_all(store) {
        let scene = Scene::with_proof(store, &[1], Proof::Attested).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        let another = scene.begin_another(later(2)).await?;
        let fence = store.lease(another, "us", later(2), later(2)).await?.expect("a lease");
        let applied = Applied { levels: Some(vec![1]), ..scene.nothing_of(another).await? };
        assert!(store.apply(another, fence, applied).await?);
        store.admit(another, fence, 0, 10, &scene.offer(later(2))).await?;
        let all = UpdateFilter { campaign: Some(another.campaign), device: None };
        let second = store.list_updates(store.ours, &all, ALL).await?.items[0].update.id;
        let done = Event::Feedback(feedback(Execution::Closed, Finished::Success, "done"));
        scene.report(key, second, done, later(3)).await?;

        let recorded = scene.reports_version(key, "1.1.0", later(4)).await?;
        let woken: BTreeSet<_> = recorded.campaigns.into_iter().collect();
        assert_eq!(woken, BTreeSet::from([scene.campaign(), another.campaign]));
    }

    async fn a_version_that_is_on_its_way_is_no_drift(store) {
        let scene = Scene::set(store, &[1]).await?;
        scene.release(&[1]).await?;
        let key = scene.devices[0];
        scene.succeeds(key, later(1)).await?;
        let fence = scene.turn_back().await?;
        let returned = store.send_back(scene.run, fence, Scope::Everything, 10, &scene.offer(later(2))).await?;
        assert_eq!(returned.touched.len(), 1);
        // It restarts before it says that it is done.
        scene.reports_version(key, "1.0.0", later(3)).await?;
        assert_eq!(device(store, 0).await?.drift, None);
        scene.succeeds(key, later(4)).await?;
        assert_eq!(device(store, 0).await?.drift, None);
        scene.reports_version(key, "1.1.0", later(5)).await?;
        assert_eq!(device(store, 0).await?.drift.map(|drift| drift.expected).as_deref(), Some("1.0.0"));
    }
}
