mod list;
mod poll;
mod register;
mod registry;
mod select;
mod selectors;

use std::collections::BTreeMap;

use tidegate_core::{
    device::Device,
    device_fields::DEVICE_FIELDS,
    id::{DeviceKey, TenantId},
    selector::Selector,
    settings::TenantSettings,
    time::Timestamp,
};
use tidegate_engine::ports::{Devices as _, LastSeenRecord, NewDevice, StoreError};

use crate::{
    database::Tx,
    testing::{TestStore, on_both},
};

fn device(id: &str, groups: &[&str], attributes: &[(&str, &str)]) -> NewDevice {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    NewDevice {
        device_id: id.to_owned(),
        groups: texts(groups),
        attributes: attributes
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        created_at: Some(Timestamp(1000)),
        ..NewDevice::default()
    }
}

fn selector(text: &str) -> anyhow::Result<Selector> {
    Ok(tidegate_core::selector::parse(text, &DEVICE_FIELDS)?)
}

/// Inserts an update directly into the database; returns its id.
async fn insert_update(
    store: &TestStore,
    tenant: TenantId,
    device: DeviceKey,
    weight: i32,
    status: &str,
) -> anyhow::Result<i32> {
    use sqlx::Row as _;

    let mut tx = store.database.write().await?;
    let firmware = sqlx::query(
        "INSERT INTO firmware (tenant_id, name, version, version_key, description, tags, metadata, \
         is_beta, is_security_update, changelog, created_by, created_at, deleted_at) \
         VALUES ($1, 'edge', '1.0.0', '', '', '[]', '{}', 0, 0, '', '', 0, 0) RETURNING id",
    )
    .bind(tenant.0)
    .fetch_one(tx.conn())
    .await?;
    let row = sqlx::query(
        "INSERT INTO updates (tenant_id, device_key, firmware_id, weight, status, success_criteria, revision, \
         to_version, feedback_count, cancel_requests, log_lines, created_at, completed_at, timeout_at, ends_at, update_type, update_timeout_ms, \
         max_retries, retry_delay_ms, retry_count, is_retried, installed_reported) \
         VALUES ($1, $2, $6, $3, $4, 'reported', 7, '1.0.0', 0, 0, 0, 0, $5, 0, 0, 'forced', 0, 0, 0, 0, 0, 0) RETURNING id",
    )
    .bind(tenant.0)
    .bind(device.0)
    .bind(weight)
    .bind(status)
    .bind((status == "completed").then_some(1_i64))
    .bind(firmware.try_get::<i64, _>("id")?)
    .fetch_one(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(row.try_get("id")?)
}

/// As batches of reports do: the two could wait for one another.
#[tokio::test]
async fn last_seen_times_lock_devices_in_the_order_of_tenants_and_keys() -> anyhow::Result<()> {
    let Some(store) = TestStore::on_postgres().await? else {
        return Ok(());
    };
    // The device of the later tenant has the smaller key.
    let mut seen = Vec::new();
    for tenant in [store.theirs, store.ours] {
        let device = store
            .create_device(tenant, device("gate-1", &[], &[]))
            .await?;
        let at = Timestamp(5);
        seen.push(LastSeenRecord {
            tenant,
            device,
            at,
            address: None,
        });
    }
    let [theirs, ours] = seen[..] else {
        anyhow::bail!("two devices");
    };
    let mut tx = store.database.write().await?;
    let recording = store.record_last_seen(seen);
    let reporting = async {
        let lock = async |tx: &mut Tx, seen: LastSeenRecord| {
            sqlx::query("SELECT id FROM devices WHERE tenant_id = $1 AND id = $2 FOR UPDATE")
                .bind(seen.tenant.0)
                .bind(seen.device.0)
                .fetch_one(tx.conn())
                .await
        };
        lock(&mut tx, ours).await?;
        store.wait_for_lock().await?;
        lock(&mut tx, theirs).await?;
        tx.commit().await?;
        anyhow::Ok(())
    };
    let (recorded, reported) = futures::join!(recording, reporting);
    reported?;
    Ok(recorded?)
}

on_both! {
    async fn a_device_is_read_as_it_was_made(store) {
        let new = NewDevice {
            name: "front gate".into(),
            ..device(
                "gate-1",
                &["lab", "berlin", "lab"],
                &[("hw_boardname", "rpi4"), ("hw_revision", "1.2"), ("sw_version", "v2"), ("site", "a\0b")],
            )
        };
        let key = store.create_device(store.ours, new).await?;
        let created = store.device(store.ours, "gate-1").await?.expect("it was created");
        let attributes = [("hw_boardname", "rpi4"), ("hw_revision", "1.2"), ("site", "a\u{FFFD}b"), ("sw_version", "v2")];
        let expected = Device {
            key,
            tenant: store.ours,
            device_id: "gate-1".into(),
            name: "front gate".into(),
            attributes: BTreeMap::from(attributes.map(|(key, value)| (key.to_owned(), value.to_owned()))),
            hw_model: Some("rpi4".into()),
            hw_revision: Some("1.2".into()),
            sw_version: Some("v2".into()),
            unstable_version_until: None,
            groups: vec!["berlin".into(), "lab".into()],
            feed: None,
            labels: BTreeMap::new(),
            mode: tidegate_core::mode::DeviceMode::Rollout,
            pinned: false,
            state: tidegate_core::device::DeviceState::Unknown,
            last_seen: None,
            address: None,
            created_at: Timestamp(1000),
            installed_firmware: None,
            drift: None,
            open_update: None,
            auto_confirm: None,
            polling_interval: None,
        };
        assert_eq!(created, expected);
    }

    async fn a_device_is_made_once_in_each_tenant(store) {
        store.create_device(store.ours, device("gate-1", &["lab"], &[])).await?;
        let again = store.create_device(store.ours, device("gate-1", &["office"], &[])).await;
        assert!(matches!(&again, Err(StoreError::Conflict(why)) if why.contains("gate-1")), "{again:?}");
        let ours = store.device(store.ours, "gate-1").await?.expect("it was created");
        assert_eq!(ours.name, "gate-1");
        assert_eq!(ours.groups, ["lab"]);

        assert_eq!(store.device(store.theirs, "gate-1").await?, None);
        let theirs = store.create_device(store.theirs, device("gate-1", &[], &[])).await?;
        assert_ne!(ours.key, theirs);
        assert_eq!(store.device(store.ours, "gate-2\0").await?, None);
    }

    async fn a_device_shows_its_open_update(store) {
        let key = store.create_device(store.ours, device("gate-1", &[], &[])).await?;
        insert_update(store, store.ours, key, 9000, "completed").await?;
        let open = insert_update(store, store.ours, key, 500, "downloading").await?;
        let read = store.device(store.ours, "gate-1").await?.expect("it was created");
        assert_eq!(read.open_update, Some(tidegate_core::id::UpdateId(open)));
    }

    async fn the_latest_last_seen_time_is_kept(store) {
        let key = store.create_device(store.ours, device("gate-1", &[], &[])).await?;
        let other = store.create_device(store.ours, device("gate-2", &[], &[])).await?;
        let seen = |tenant, device, at| LastSeenRecord { tenant, device, at: Timestamp(at), address: None };
        let ours = store.ours;
        store.record_last_seen(vec![seen(ours, key, 5), seen(ours, key, 9), seen(ours, other, 3)]).await?;
        // A late record, and one with the wrong tenant.
        store.record_last_seen(vec![seen(ours, key, 7), seen(store.theirs, other, 99)]).await?;
        store.record_last_seen(vec![]).await?;
        let last_seen = async |id| -> anyhow::Result<_> {
            Ok(store.device(ours, id).await?.expect("it was created").last_seen)
        };
        assert_eq!(last_seen("gate-1").await?, Some(Timestamp(9)));
        assert_eq!(last_seen("gate-2").await?, Some(Timestamp(3)));
    }

    async fn addresses_are_stored_only_while_the_tenant_tracks_them(store) {
        let ours = store.ours;
        let key = store.create_device(ours, device("gate-1", &[], &[])).await?;
        let theirs = store.create_device(store.theirs, device("gate-1", &[], &[])).await?;
        let address = |last| std::net::IpAddr::from([192, 0, 2, last]);
        let record_seen = async |tenant, device, at, from| {
            let seen = LastSeenRecord { tenant, device, at: Timestamp(at), address: from };
            store.record_last_seen(vec![seen]).await
        };
        let last_seen_and_address = async |tenant| -> anyhow::Result<_> {
            let device = store.device(tenant, "gate-1").await?.expect("it was created");
            Ok((device.last_seen.map(|at| at.0), device.address))
        };
        let set_tracking = async |revision, track_address| {
            let settings = TenantSettings { track_address, ..TenantSettings::default() };
            store.change_settings(ours, revision, &settings).await
        };
        record_seen(ours, key, 1, Some(address(1))).await?;
        assert_eq!(last_seen_and_address(ours).await?, (Some(1), None));
        assert!(set_tracking(0, true).await?);
        record_seen(ours, key, 2, Some(address(2))).await?;
        record_seen(store.theirs, theirs, 2, Some(address(3))).await?;
        assert_eq!(last_seen_and_address(ours).await?, (Some(2), Some(address(2))));
        assert_eq!(last_seen_and_address(store.theirs).await?, (Some(2), None));
        record_seen(ours, key, 3, Some("2001:db8::7".parse()?)).await?;
        assert_eq!(last_seen_and_address(ours).await?, (Some(3), Some("2001:db8::7".parse()?)));
        assert!(set_tracking(1, false).await?);
        assert_eq!(last_seen_and_address(ours).await?, (Some(3), None));
        // A late record from before the change.
        record_seen(ours, key, 4, Some(address(4))).await?;
        assert_eq!(last_seen_and_address(ours).await?, (Some(4), None));
    }
}
