use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

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
    /// Entries that were taken from the shards. Its lock is held while entries are moved, so that a reader that holds it
    /// finds every entry.
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Entries to be written.
    waiting: Vec<LastSeenRecord>,
    /// Entries that are being written, by the number of their [`LastSeenBatch`].
    writing: BTreeMap<u64, Arc<[LastSeenRecord]>>,
    next_number: u64,
}

/// Entries to be written, which end with [`LastSeenBuffer::finish`].
pub(crate) struct LastSeenBatch {
    number: u64,
    pub(crate) records: Arc<[LastSeenRecord]>,
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

    /// Takes up to `limit` entries, in the order of tenants and devices: neighbours in the database are written together.
    /// Older entries are taken first, except within one batch, so that frequent polls of some devices cannot starve
    /// others.
    pub(crate) fn take(&self, limit: usize) -> LastSeenBatch {
        let mut queue = self.queue.lock();
        let Queue {
            waiting,
            writing,
            next_number,
        } = &mut *queue;
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
        let mut records = if left == 0 {
            // This also releases the memory.
            std::mem::take(waiting)
        } else {
            waiting.split_off(left)
        };
        records.sort_unstable_by_key(|seen| (seen.tenant, seen.device));
        let records: Arc<[_]> = records.into();
        let number = *next_number;
        *next_number += 1;
        writing.insert(number, Arc::clone(&records));
        LastSeenBatch { number, records }
    }

    /// Ends a write of which only the first `written` entries succeeded; the others are buffered again.
    pub(crate) fn finish(&self, taken: &LastSeenBatch, written: usize) {
        let mut queue = self.queue.lock();
        for unwritten in taken.records.iter().skip(written) {
            self.record(*unwritten);
        }
        queue.writing.remove(&taken.number);
    }

    /// The devices of a tenant that were seen at `since` or later, and whose times are not written yet.
    pub(crate) fn unwritten_since(&self, tenant: TenantId, since: Timestamp) -> HashSet<DeviceKey> {
        let queue = self.queue.lock();
        let taken = queue.writing.values().flat_map(|records| records.iter());
        let mut devices: HashSet<_> = taken
            .chain(&queue.waiting)
            .filter(|seen| seen.tenant == tenant && seen.at >= since)
            .map(|seen| seen.device)
            .collect();
        for shard in &self.shards {
            let entries = shard.lock();
            let seen = entries
                .iter()
                .filter(|((owner, _), (at, _))| *owner == tenant && *at >= since);
            devices.extend(seen.map(|((_, device), _)| *device));
        }
        devices
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
        let taken = log.take(usize::MAX);
        assert_eq!(taken.records[..], [seen(1, 30), seen(2, 11)]);
        assert!(log.take(usize::MAX).records.is_empty());
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
            let seen = log.take(100).records;
            assert_eq!(seen.len(), 100);
            all.extend(seen.iter().map(|seen| seen.device.0));
            // These devices poll repeatedly and must not be taken instead of others.
            note(0..100);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        assert_eq!(log.take(usize::MAX).records.len(), 100);
    }

    #[test]
    fn a_time_is_unwritten_until_its_write_has_ended() {
        let buffer = LastSeenBuffer::default();
        let unwritten = |since| {
            let mut devices: Vec<_> = buffer
                .unwritten_since(TenantId(1), Timestamp(since))
                .into_iter()
                .map(|device| device.0)
                .collect();
            devices.sort_unstable();
            devices
        };
        for device in 1..=3 {
            buffer.record(seen(device, 10 * device));
        }
        assert_eq!(unwritten(0), [1, 2, 3]);
        assert_eq!(unwritten(20), [2, 3]);
        assert!(buffer.unwritten_since(TenantId(2), Timestamp(0)).is_empty());

        let part = buffer.take(2);
        let rest = buffer.take(2);
        assert_eq!(unwritten(0), [1, 2, 3]);
        buffer.finish(&rest, 1);
        let mut left: Vec<_> = part.records.iter().map(|seen| seen.device.0).collect();
        left.sort_unstable();
        assert_eq!(unwritten(0), left);
        // The second of its two records could not be written.
        buffer.finish(&part, 1);
        assert_eq!(unwritten(0), [part.records[1].device.0]);
        let again = buffer.take(usize::MAX);
        assert_eq!(again.records[..], part.records[1..]);
        buffer.finish(&again, 1);
        assert!(unwritten(0).is_empty());
    }
}
