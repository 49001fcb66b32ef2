use tidegate_core::campaign::Targets;
use tidegate_engine::ports::Devices as _;

use super::*;

fn targets(devices: &[&str], groups: &[&str]) -> Targets {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Targets {
        devices: texts(devices),
        groups: texts(groups),
        ..Targets::default()
    }
}

async fn fleet(store: &TestStore) -> anyhow::Result<()> {
    for new in [
        device(
            "a",
            &["lab", "berlin"],
            &[("hw_model", "rpi4"), ("site", "1"), ("floor", "2")],
        ),
        device("b", &["lab"], &[("hw_model", "rpi3"), ("floor", "2")]),
        device("c", &[], &[("hw_model", "rpi4")]),
    ] {
        store.create_device(store.ours, new).await?;
    }
    let theirs = device("a", &["lab"], &[("hw_model", "rpi4"), ("site", "9")]);
    store.create_device(store.theirs, theirs).await?;
    Ok(())
}

async fn selected(
    store: &TestStore,
    targets: &Targets,
    filter: Option<&str>,
) -> anyhow::Result<String> {
    let filter = filter.map(selector).transpose()?;
    let devices = store
        .select(store.ours, targets, filter.as_ref(), None, &[])
        .await?;
    let mut ids: Vec<_> = devices.into_iter().map(|device| device.device_id).collect();
    ids.sort_unstable();
    Ok(ids.join(" "))
}

on_both! {
    async fn a_campaign_selects_devices_that_match_any_target(store) {
        fleet(store).await?;
        for (devices, groups, filter, expected) in [
            (&["c", "c", "stranger", "\0"][..], &[][..], None, "c"),
            (&[], &["lab"], None, "a b"),
            (&[], &["berlin", "lab"], None, "a b"),
            (&[], &[], Some("hw_model==rpi4"), "a c"),
            (&["b"], &["berlin"], Some("hw_model==rpi4"), "a b c"),
            (&[], &[], None, ""),
        ] {
            let targets = targets(devices, groups);
            assert_eq!(selected(store, &targets, filter).await?, expected, "{targets:?} {filter:?}");
        }
    }

    async fn selected_devices_have_class_and_groups(store) {
        fleet(store).await?;
        let attributes = ["site".to_owned(), "floor".to_owned(), "colour".to_owned()];
        let mut devices = store.select(store.ours, &targets(&["c"], &["lab"]), None, None, &attributes).await?;
        devices.sort_by(|a, b| a.device_id.cmp(&b.device_id));
        for selected in &devices {
            let whole = store.device(store.ours, &selected.device_id).await?.expect("it exists");
            assert_eq!(selected.key, whole.key);
            assert_eq!(*selected.class, whole.class(&attributes));
            let groups: Vec<_> = selected.groups.iter().map(ToString::to_string).collect();
            assert_eq!(groups, whole.groups);
        }
        assert_eq!(devices.len(), 3);
        assert_eq!(devices[0].class.attributes.len(), 2);
    }

    async fn matching_stays_in_the_tenant(store) {
        fleet(store).await?;
        let all = selector("attribute.colour!=red")?;
        assert_eq!(store.matching(store.ours, &all, None).await?.len(), 3);
        assert_eq!(store.matching(store.theirs, &all, None).await?.len(), 1);
    }
}
