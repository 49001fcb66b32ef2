use std::{collections::HashMap, net::IpAddr};

use parking_lot::Mutex;
use tidegate_core::{
    id::{DeviceKey, TenantId},
    time::Timestamp,
};

use crate::ports::LastSeenRecord;

/// Shards reduce lock contention between polls of different devices.
const SHARDS: usize = 16;

/// Last-seen times and addresses that are not written yet, one entry per device.
#[derive(Default)]
pub(crate) struct LastSeenBuffer {
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
    pub(crate) fn take(&self, limit: usize) -> Vec<LastSeenRecord> {
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
