use std::collections::HashSet;

use futures::future::join_all;
use tidegate_core::{device::DeviceState, time::Timestamp};
use tidegate_engine::ports::{DeviceFilter, Devices as _, PageRequest, StoreError};

use super::*;
use crate::SqlStore;

on_both! {
    async fn a_device_that_polls_is_registered_once(store) {
        let at = |at| store.register(store.ours, "gate-1", Timestamp(at));
        let views = join_all((0..50).map(at)).await;
        let views: Vec<_> = views.into_iter().collect::<Result<_, _>>()?;
        assert!(views.iter().all(|view| *view == views[0]));
        assert!(!views[0].is_unseen && views[0].wants_attributes && views[0].token_sha256.is_none());

        let device = store.device(store.ours, "gate-1").await?.expect("it was registered");
        assert_eq!(device.key, views[0].device);
        assert_eq!(device.state, DeviceState::Registered);
        assert_eq!(device.name, "gate-1");
        assert!(device.last_seen.is_some());
        assert_eq!(store.device(store.theirs, "gate-1").await?, None);
    }

    async fn registrations_are_batched_per_tenant(store) {
        store.create_device(store.ours, device("gate-7", &["lab"], &[])).await?;
        let all = (0..300).map(|n| {
            let tenant = if n % 3 == 0 { store.theirs } else { store.ours };
            async move { store.register(tenant, &format!("gate-{n}"), Timestamp(n)).await }
        });
        let views: Vec<_> = join_all(all).await.into_iter().collect::<Result<_, _>>()?;
        assert!(views.iter().all(|view| !view.is_unseen));
        let keys: HashSet<_> = views.iter().map(|view| view.device).collect();
        assert_eq!(keys.len(), 300);

        let created = store.device(store.ours, "gate-7").await?.expect("an operator created it");
        assert_eq!((created.state, created.last_seen), (DeviceState::Registered, Some(Timestamp(7))));
        assert_eq!(created.groups, ["lab"]);
        let all = PageRequest { limit: 1, offset: 0 };
        assert_eq!(store.list_devices(store.ours, &DeviceFilter::default(), None, all).await?.total, 200);
        assert_eq!(store.list_devices(store.theirs, &DeviceFilter::default(), None, all).await?.total, 100);
    }

    async fn servers_that_register_the_same_devices_do_not_deadlock(store) {
        let (one, other) = tokio::try_join!(store.another_server(), store.another_server())?;
        let on = |server, seed: u64| {
            // Each server registers the devices in another order.
            let order = (0..400_u64).map(move |n| (n * seed) % 401);
            join_all(order.map(move |n| async move {
                SqlStore::register(server, store.ours, &format!("gate-{n}"), Timestamp(1)).await
            }))
        };
        let (ones, others) = tokio::join!(on(&one, 7), on(&other, 11));
        for view in ones.into_iter().chain(others) {
            view?;
        }
        let stats = tidegate_engine::ports::Statistics::stats(&one, store.ours, Timestamp(0), None).await?;
        assert_eq!(stats.devices_by_state, [("registered".to_owned(), 401)]);
    }

    async fn an_unknown_tenant_fails_only_its_own_registration(store) {
        let unknown_tenant = TenantId(4711);
        let (bad, good) = tokio::join!(
            store.register(unknown_tenant, "gate-1", Timestamp(0)),
            store.register(store.ours, "gate-2", Timestamp(0)),
        );
        assert!(matches!(bad, Err(StoreError::Internal { .. })), "{bad:?}");
        assert!(good.is_ok(), "{good:?}");
    }
}
