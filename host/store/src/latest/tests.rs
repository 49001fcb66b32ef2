use tidegate_core::{
    mode::DeviceMode,
    plugin::{PluginKind, RevisionState},
};
use tidegate_engine::ports::{DeviceChange, LatestDevices as _, NewDevice, NewRevision};

use crate::{
    plugins::tests::new as new_revision,
    test_fixture::{NOON, StoreFixture, firmware, later},
    testing::{TestStore, on_both},
};

/// Whether the tenant is dirty; clears its dirty flag.
async fn is_dirty(store: &TestStore) -> anyhow::Result<bool> {
    let dirty = store.dirty_tenants().await?;
    assert!(dirty.iter().all(|(tenant, _)| *tenant == store.ours));
    for (tenant, changes) in &dirty {
        store.clear_dirty(*tenant, *changes).await?;
    }
    Ok(!dirty.is_empty())
}

on_both! {
    async fn events_that_may_outdate_a_device_mark_its_tenant_dirty(store) {
        let fixture = StoreFixture::new(store, &[2]).await?;
        assert!(is_dirty(store).await?, "new firmware");
        assert!(!is_dirty(store).await?, "the flag was cleared");
        let key = fixture.devices[0];
        fixture.report_version(key, "1.0.1", later(1)).await?;
        assert!(!is_dirty(store).await?, "the device is in mode rollout");

        let latest = DeviceChange { mode: Some(DeviceMode::Latest), ..DeviceChange::at(NOON) };
        store.change_device(store.ours, "d-0", latest).await?;
        assert!(is_dirty(store).await?);
        fixture.report_version(key, "1.0.2", later(2)).await?;
        assert!(is_dirty(store).await?);
        fixture.report_version(key, "1.0.2", later(3)).await?;
        assert!(!is_dirty(store).await?, "an unchanged version");
        let created = NewDevice {
            device_id: "e-0".into(),
            mode: DeviceMode::Latest,
            ..NewDevice::default()
        };
        store.create_device(store.ours, created).await?;
        assert!(is_dirty(store).await?);
        let new = store.create_firmware(store.ours, firmware("3.0.0")).await?;
        let dirty = store.dirty_tenants().await?;
        store.delete_firmware(store.ours, new, NOON).await?;
        for (tenant, changes) in dirty {
            store.clear_dirty(tenant, changes).await?;
        }
        assert!(is_dirty(store).await?, "a later change keeps the flag");
    }

    async fn a_policy_that_was_missing_marks_its_tenant_dirty(store) {
        let new = |name: &str, kind| NewRevision {
            kind,
            ..new_revision(name, name.as_bytes(), 0)
        };
        store.put_revision(store.ours, new("staged", PluginKind::Strategy)).await?;
        assert!(!is_dirty(store).await?, "a strategy chooses no firmware");
        let policy = new("hardware", PluginKind::Compatibility);
        let change = |state| store.change_revision_state(store.ours, &policy.description.name, policy.digest, state);
        store.put_revision(store.ours, policy.clone()).await?;
        assert!(is_dirty(store).await?, "a new policy");
        store.put_revision(store.ours, policy.clone()).await?;
        assert!(!is_dirty(store).await?, "the policy was there");
        change(RevisionState::Disabled).await?;
        assert!(!is_dirty(store).await?, "without it no device is updated");
        change(RevisionState::Enabled).await?;
        assert!(is_dirty(store).await?, "an enabled policy");
        change(RevisionState::Enabled).await?;
        assert!(!is_dirty(store).await?, "it was enabled");
    }

    async fn devices_that_were_offered_a_firmware_are_known_by_any_outcome(store) {
        let fixture = StoreFixture::new(store, &[3]).await?;
        fixture.release(&[2]).await?;
        fixture.report_failure(fixture.devices[0], "no", later(1)).await?;
        let had = store.already_offered(store.ours, fixture.new, &fixture.devices).await?;
        assert_eq!(had, fixture.devices[..2].iter().copied().collect());
        assert!(store.already_offered(store.ours, fixture.old, &fixture.devices).await?.is_empty());
        assert!(store.already_offered(store.theirs, fixture.new, &fixture.devices).await?.is_empty());
    }
}
