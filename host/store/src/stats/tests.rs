use tidegate_core::{campaign::CampaignStatus, update::UpdateStatus};
use tidegate_engine::ports::{Devices as _, NewDevice, Statistics as _};

use super::*;
use crate::{
    tenant_counters::TenantCounters,
    testing::{TestStore, on_both},
};

const HOUR: i64 = 3_600_000;

fn counted(pairs: &[(&str, u64)]) -> Vec<(String, u64)> {
    pairs
        .iter()
        .map(|(key, n)| ((*key).to_owned(), *n))
        .collect()
}

async fn write(store: &TestStore, fill: impl FnOnce(&mut TenantCounters)) -> anyhow::Result<()> {
    let mut tenant_counters = TenantCounters::default();
    fill(&mut tenant_counters);
    let mut tx = store.database.write().await?;
    tenant_counters.write(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

on_both! {
    async fn devices_are_counted_when_created_and_registered(store) {
        let attributes = [("hw_model", "rpi4"), ("sw_version", "1.0.0")];
        let made = NewDevice {
            device_id: "gate-1".into(),
            attributes: attributes.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..NewDevice::default()
        };
        store.create_device(store.ours, made).await?;
        store.register(store.ours, "gate-2", Timestamp(1)).await?;
        store.register(store.ours, "gate-2", Timestamp(2)).await?;
        store.register(store.theirs, "gate-3", Timestamp(3)).await?;
        let stats = store.stats(store.ours, Timestamp(0), None).await?;
        assert_eq!(stats.devices_by_state, counted(&[("registered", 1), ("unknown", 1)]));
        assert_eq!(stats.devices_by_version, counted(&[("", 1), ("1.0.0", 1)]));
        assert_eq!(stats.devices_by_model, counted(&[("", 1), ("rpi4", 1)]));

        store.register(store.ours, "gate-1", Timestamp(4)).await?;
        let stats = store.stats(store.ours, Timestamp(0), None).await?;
        assert_eq!(stats.devices_by_state, counted(&[("registered", 2)]));
        let theirs = store.stats(store.theirs, Timestamp(0), None).await?;
        assert_eq!(theirs.devices_by_state, counted(&[("registered", 1)]));
    }

    async fn updates_and_campaigns_are_counted_by_status(store) {
        use UpdateStatus as S;
        let (ours, at) = (store.ours, |hour: i64| Timestamp(hour * HOUR + 5));
        write(store, |tenant_counters| {
            for _ in 0..3 {
                tenant_counters.count_update(ours, None, S::Offered, at(1));
            }
            tenant_counters.count_update(ours, Some(S::Offered), S::Completed, at(2));
            tenant_counters.count_campaign(ours, None, CampaignStatus::Created);
        }).await?;
        write(store, |tenant_counters| {
            tenant_counters.count_update(ours, Some(S::Offered), S::Failed, at(30));
            tenant_counters.count_update(ours, Some(S::Offered), S::TimedOut, at(29));
            tenant_counters.count_campaign(ours, Some(CampaignStatus::Created), CampaignStatus::InProgress);
        }).await?;
        let stats = store.stats(ours, at(29), None).await?;
        assert_eq!(stats.updates_by_status, counted(&[("completed", 1), ("failed", 1), ("timed_out", 1)]));
        assert_eq!(stats.campaigns_by_status, counted(&[("in_progress", 1)]));
        assert_eq!((stats.completed_recently, stats.failed_recently), (0, 2));
        assert_eq!(stats.last_change, Some(at(30)));
        assert_eq!(store.stats(ours, Timestamp(0), None).await?.completed_recently, 1);
        assert_eq!(store.stats(store.theirs, Timestamp(0), None).await?, Stats::default());
        assert_eq!(store.last_progress_at(ours, CampaignId(1)).await?, None);
    }

    async fn counters_of_old_hours_are_deleted_in_batches(store) {
        use UpdateStatus as S;
        let at = |hour: i64| Timestamp(hour * HOUR + 5);
        for tenant in [store.ours, store.theirs] {
            for hour in 1..=5 {
                write(store, |tenant_counters| {
                    tenant_counters.count_update(tenant, None, S::Completed, at(hour));
                    tenant_counters.count_update(tenant, None, S::Failed, at(hour));
                }).await?;
            }
        }
        // Of each tenant the hours 1 to 3, of both kinds.
        for deleted in [10, 2, 0] {
            assert_eq!(store.delete_old_hours(at(4), 10).await?, deleted);
        }
        for tenant in [store.ours, store.theirs] {
            let stats = store.stats(tenant, Timestamp(0), None).await?;
            assert_eq!((stats.completed_recently, stats.failed_recently), (2, 2));
            assert_eq!(stats.updates_by_status, counted(&[("completed", 5), ("failed", 5)]));
            assert_eq!(stats.last_change, Some(at(5)));
        }
    }

    async fn counters_are_rolled_back_with_their_transaction(store) {
        let mut tenant_counters = TenantCounters::default();
        tenant_counters.add(store.ours, CounterKind::DevicesByModel, "rpi4", 5);
        let mut tx = store.database.write().await?;
        tenant_counters.write(&mut tx).await?;
        drop(tx);
        assert_eq!(store.stats(store.ours, Timestamp(0), None).await?, Stats::default());
    }
}
