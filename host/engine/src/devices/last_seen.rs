use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_core::{
    id::{DeviceKey, TenantId},
    time::Timestamp,
};
use tokio::time::sleep;

use crate::{Engine, Result, access, chain, ports::LastSeenRecord};

/// How often last-seen times are written.
const FLUSH_PERIOD: Duration = Duration::from_secs(5);
/// Maximum time without a heartbeat before the loop counts as stuck.
const MAX_SILENCE: Duration = Duration::from_mins(5);
/// Maximum number of devices written per period. Under load the rest stays buffered, where repeated polls of a device
/// cost nothing: last-seen times lag behind, and polls do not.
const MAX_PER_FLUSH: usize = 20_000;
/// Maximum number of devices per transaction, so that feedback does not wait long behind it.
const BATCH_SIZE: usize = 1000;
/// Shards reduce lock contention between polls of different devices.
const SHARDS: usize = 16;

/// Last-seen times and addresses that are not written yet, one entry per device.
#[derive(Default)]
pub struct LastSeenBuffer {
    shards: [Mutex<HashMap<(TenantId, DeviceKey), LastSeen>>; SHARDS],
    /// Entries that were taken from the shards and are not written yet.
    waiting: Mutex<Vec<LastSeenRecord>>,
}

/// When a device was last seen, and its address.
type LastSeen = (Timestamp, Option<IpAddr>);

impl LastSeenBuffer {
    /// Buffers that a device was seen; the latest time is kept.
    pub(crate) fn record(&self, seen: LastSeenRecord) {
        let shard = usize::try_from(seen.device.0).unwrap_or(0) % SHARDS;
        let mut entries = self.shards[shard].lock();
        let new = (seen.at, seen.address);
        let entry = entries.entry((seen.tenant, seen.device)).or_insert(new);
        if entry.0 <= seen.at {
            *entry = new;
        }
    }

    /// Takes up to `limit` entries. Older entries are taken first, except within one batch, so that frequent polls of
    /// some devices cannot starve others.
    fn take(&self, limit: usize) -> Vec<LastSeenRecord> {
        let mut waiting = self.waiting.lock();
        if waiting.is_empty() || limit == usize::MAX {
            for shard in &self.shards {
                let mut entries = shard.lock();
                let taken = std::mem::take(&mut *entries).into_iter();
                waiting.extend(
                    taken.map(|((tenant, device), (at, address))| LastSeenRecord {
                        tenant,
                        device,
                        at,
                        address,
                    }),
                );
            }
        }
        let left = waiting.len().saturating_sub(limit);
        if left == 0 {
            // This also releases the memory.
            return std::mem::take(&mut *waiting);
        }
        waiting.split_off(left)
    }
}

/// Writes all buffered last-seen times. Times that cannot be written stay buffered.
pub async fn flush_last_seen(engine: &Engine) -> Result<()> {
    write_last_seen(engine, usize::MAX).await
}

async fn write_last_seen(engine: &Engine, limit: usize) -> Result<()> {
    let seen = engine.last_seen.take(limit);
    for (number, batch) in seen.chunks(BATCH_SIZE).enumerate() {
        if let Err(error) = engine.store().record_last_seen(batch.to_vec()).await {
            for unwritten in &seen[number * BATCH_SIZE..] {
                engine.last_seen.record(*unwritten);
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Writes the last-seen times of devices and gateways periodically, until it is dropped.
pub async fn flush_last_seen_loop(engine: Arc<Engine>) {
    let heartbeat = engine.health.register_loop("last seen", MAX_SILENCE);
    loop {
        sleep(FLUSH_PERIOD).await;
        let iteration = async {
            for written in [
                write_last_seen(&engine, MAX_PER_FLUSH).await,
                access::flush_gateways_used(engine.store(), engine.caches()).await,
            ] {
                if let Err(error) = written {
                    tracing::warn!(error = %chain(&error), "last-seen times not written, retrying");
                }
            }
        };
        heartbeat.run(iteration).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(device: i64, at: i64) -> LastSeenRecord {
        LastSeenRecord {
            tenant: TenantId(1),
            device: DeviceKey(device),
            at: Timestamp(at),
            address: u8::try_from(at).ok().map(|at| IpAddr::from([10, 0, 0, at])),
        }
    }

    #[test]
    fn repeated_polls_of_a_device_keep_the_latest_time_and_address() {
        let log = LastSeenBuffer::default();
        for (device, at) in [(1, 10), (2, 11), (1, 30), (1, 20)] {
            log.record(seen(device, at));
        }
        let mut taken = log.take(usize::MAX);
        taken.sort_unstable_by_key(|seen| seen.device);
        assert_eq!(taken, [seen(1, 30), seen(2, 11)]);
        assert_eq!(log.take(usize::MAX), []);
    }

    #[test]
    fn entries_are_taken_in_parts_and_none_is_lost() {
        let log = LastSeenBuffer::default();
        let note = |devices: std::ops::Range<i64>| {
            for device in devices {
                log.record(seen(device, device));
            }
        };
        note(0..1000);
        let mut all = Vec::new();
        for _ in 0..10 {
            let seen = log.take(100);
            assert_eq!(seen.len(), 100);
            all.extend(seen.into_iter().map(|seen| seen.device.0));
            // These devices poll repeatedly and must not be taken instead of others.
            note(0..100);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        assert_eq!(log.take(usize::MAX).len(), 100);
    }
}
