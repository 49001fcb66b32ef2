use tidegate_engine::ports::{
    DeviceFilter, DeviceSort, Devices as _, OverdueRule, PageRequest, Statistics as _,
};

use super::*;

async fn fleet(store: &TestStore) -> anyhow::Result<()> {
    for (id, model, version) in [
        ("a", "rpi4", "1.10.0"),
        ("b", "rpi3", "1.9.0"),
        ("C", "", ""),
        ("d", "rpi4", "2.0.0-rc.1"),
    ] {
        let new = device(id, &[], &[("hw_model", model), ("sw_version", version)]);
        store.create_device(store.ours, new).await?;
    }
    store
        .create_device(store.theirs, device("e", &[], &[("hw_model", "rpi4")]))
        .await?;
    Ok(())
}

async fn ids(
    store: &TestStore,
    filter: &DeviceFilter,
    limit: u32,
    offset: u64,
) -> anyhow::Result<(String, u64)> {
    let page = store
        .list_devices(store.ours, filter, None, PageRequest { limit, offset })
        .await?;
    let ids: Vec<_> = page
        .items
        .into_iter()
        .map(|device| device.device_id)
        .collect();
    Ok((ids.join(" "), page.total))
}

on_both! {
    async fn lists_are_sorted_and_nulls_are_last(store) {
        fleet(store).await?;
        for (sort, descending, expected) in [
            (DeviceSort::DeviceId, false, "C a b d"),
            (DeviceSort::DeviceId, true, "d b a C"),
            (DeviceSort::Name, false, "C a b d"),
            (DeviceSort::SwVersion, false, "b a d C"),
            (DeviceSort::SwVersion, true, "d a b C"),
            (DeviceSort::HwModel, false, "b a d C"),
            (DeviceSort::HwModel, true, "d a b C"),
            (DeviceSort::Feed, false, "a b C d"),
            (DeviceSort::Mode, true, "d C b a"),
            (DeviceSort::State, false, "a b C d"),
            (DeviceSort::CreatedAt, false, "a b C d"),
            (DeviceSort::CreatedAt, true, "d C b a"),
            (DeviceSort::LastSeen, false, "a b C d"),
        ] {
            let filter = DeviceFilter { selector: None, sort, descending };
            assert_eq!(ids(store, &filter, 50, 0).await?, (expected.to_owned(), 4), "{filter:?}");
        }
    }

    async fn a_page_is_limited_and_has_the_total(store) {
        fleet(store).await?;
        let filter = DeviceFilter { selector: Some(selector("hw_model==rpi*")?), ..DeviceFilter::default() };
        assert_eq!(ids(store, &filter, 2, 0).await?, ("a b".to_owned(), 3));
        assert_eq!(ids(store, &filter, 2, 2).await?, ("d".to_owned(), 3));
        assert_eq!(ids(store, &filter, 2, u64::MAX).await?, (String::new(), 3));
    }

    async fn lists_and_statistics_count_overdue_devices_as_such(store) {
        for (id, last_seen) in [("a", 10), ("b", 3_600_009), ("c", 3_600_010), ("d", 7_300_000), ("e", 20)] {
            store.register(store.ours, id, Timestamp(last_seen)).await?;
        }
        store.create_device(store.ours, device("f", &[], &[])).await?;
        store.register(store.theirs, "a", Timestamp(10)).await?;
        // The last poll of `e` is not written yet.
        let e = store.device(store.ours, "e").await?.expect("it polled").key;
        let overdue = OverdueRule { before: Timestamp(3_600_010), seen: [e].into() };
        for (overdue, q, expected) in [
            (Some(&overdue), "state==overdue", "a b"),
            (Some(&overdue), "state==registered", "c d e"),
            (Some(&overdue), "state!=overdue", "c d e f"),
            (None, "state==overdue", ""),
            (None, "state==registered", "a b c d e"),
        ] {
            let filter = DeviceFilter { selector: Some(selector(q)?), ..DeviceFilter::default() };
            let page = PageRequest { limit: 50, offset: 0 };
            let found = store.list_devices(store.ours, &filter, overdue, page).await?;
            let ids: Vec<_> = found.items.into_iter().map(|device| device.device_id).collect();
            assert_eq!((ids.join(" ").as_str(), found.total), (expected, ids.len() as u64), "{q}");
        }
        let by_state = DeviceFilter { sort: DeviceSort::State, ..DeviceFilter::default() };
        let page = PageRequest { limit: 2, offset: 0 };
        let first = store.list_devices(store.ours, &by_state, Some(&overdue), page).await?;
        let ids: Vec<_> = first.items.iter().map(|device| device.device_id.as_str()).collect();
        assert_eq!((ids, first.total), (vec!["a", "b"], 6));

        let states = async |overdue| -> anyhow::Result<_> {
            let stats = store.stats(store.ours, Timestamp(0), overdue).await?;
            let by_state = stats.devices_by_state.iter();
            Ok(by_state.map(|(state, n)| format!("{state} {n}")).collect::<Vec<_>>().join(", "))
        };
        assert_eq!(states(Some(&overdue)).await?, "overdue 2, registered 3, unknown 1");
        assert_eq!(states(None).await?, "registered 5, unknown 1");
        // A poll that is written later moves the device.
        let a = store.device(store.ours, "a").await?.expect("it polled").key;
        let seen = LastSeenRecord { tenant: store.ours, device: a, at: Timestamp(7_200_000), address: None };
        store.record_last_seen(vec![seen]).await?;
        assert_eq!(states(Some(&overdue)).await?, "overdue 1, registered 4, unknown 1");
    }
}
