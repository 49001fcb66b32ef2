use std::collections::BTreeMap;

use tidegate_core::{
    device::{AttributeNames, MAX_ATTRIBUTES},
    feedback::{Execution, Finished},
    update::{Event, Proof},
};
use tidegate_engine::ports::AttributeMode;

use super::*;

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

        let recorded = scene.reports_version(key, "1.1.0", later(4)).await?;
        assert_eq!((recorded.moved, recorded.campaign), (true, Some(scene.campaign())));
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
}
