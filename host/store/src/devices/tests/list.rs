use tidegate_engine::ports::{DeviceFilter, DeviceSort, Devices as _, PageRequest};

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
        .list_devices(store.ours, filter, PageRequest { limit, offset })
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
}
