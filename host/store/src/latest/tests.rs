use tidegate_core::mode::DeviceMode;
use tidegate_engine::ports::{
    DeviceChange, Devices as _, Firmwares as _, NewDevice, Registry as _,
};

use super::*;
use crate::{
    scene::{NOON, Scene, firmware, later},
    testing::{TestStore, on_both},
};

/// How often our tenant was stirred since the last time that it was asked.
async fn stirs(store: &TestStore) -> anyhow::Result<bool> {
    let stirred = store.stirred().await?;
    assert!(stirred.iter().all(|(tenant, _)| *tenant == store.ours));
    for (tenant, stir) in &stirred {
        store.looked_at(*tenant, *stir).await?;
    }
    Ok(!stirred.is_empty())
}

on_both! {
    async fn whatever_may_leave_a_device_behind_stirs_its_tenant(store) {
        let scene = Scene::set(store, &[2]).await?;
        assert!(stirs(store).await?, "firmware came");
        assert!(!stirs(store).await?, "once");
        let key = scene.devices[0];
        scene.reports_version(key, "1.0.1", later(1)).await?;
        assert!(!stirs(store).await?, "campaigns see to this one");

        let latest = DeviceChange { mode: Some(DeviceMode::Latest), ..DeviceChange::at(NOON) };
        store.change_device(store.ours, "d-0", latest).await?;
        assert!(stirs(store).await?);
        scene.reports_version(key, "1.0.2", later(2)).await?;
        assert!(stirs(store).await?);
        scene.reports_version(key, "1.0.2", later(3)).await?;
        assert!(!stirs(store).await?, "nothing is new");
        let made = NewDevice {
            device_id: "e-0".into(),
            mode: DeviceMode::Latest,
            ..NewDevice::default()
        };
        store.create_device(store.ours, made).await?;
        assert!(stirs(store).await?);
        let new = store.create_firmware(store.ours, firmware("3.0.0")).await?;
        let stirred = store.stirred().await?;
        store.delete_firmware(store.ours, new, NOON).await?;
        for (tenant, stir) in stirred {
            store.looked_at(tenant, stir).await?;
        }
        assert!(stirs(store).await?, "what came meanwhile is not forgotten");
    }

    async fn who_had_a_firmware_is_known_however_it_went(store) {
        let scene = Scene::set(store, &[3]).await?;
        scene.release(&[2]).await?;
        scene.fails(scene.devices[0], "no", later(1)).await?;
        let had = store.had_offer(store.ours, scene.new, &scene.devices).await?;
        assert_eq!(had, scene.devices[..2].iter().copied().collect());
        assert!(store.had_offer(store.ours, scene.old, &scene.devices).await?.is_empty());
        assert!(store.had_offer(store.theirs, scene.new, &scene.devices).await?.is_empty());
    }
}
