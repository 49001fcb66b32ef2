use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tidegate_core::{
    id::{DeviceKey, TenantId},
    time::Timestamp,
};
use tokio::time::sleep;

use crate::{Engine, Result, access, ports::LastSeenRecord};

/// How long last-seen times are gathered before they are written.
const FLUSH_PERIOD: Duration = Duration::from_secs(5);
/// How long writing them may take, however many they are.
const MAX_SILENCE: Duration = Duration::from_mins(5);
/// Most devices that are written in one period. When more come, they wait in memory, where a device that comes again
/// costs nothing: last-seen times lag behind under such a load, and polls do not.
const MAX_PER_FLUSH: usize = 20_000;
/// Most devices in one transaction: feedback must not wait long behind it.
const BATCH_SIZE: usize = 1000;
/// Polls of different devices seldom wait for one another.
const SHARDS: usize = 16;

/// Who was seen since the last batch was written: one time and place for each device, however often it came.
#[derive(Default)]
pub struct LastSeenBuffer {
    shards: [Mutex<HashMap<(TenantId, DeviceKey), LastSeen>>; SHARDS],
    /// Taken from there, and not written yet.
    waiting: Mutex<Vec<LastSeenRecord>>,
}

/// When a device was seen, and from where it came.
type LastSeen = (Timestamp, Option<IpAddr>);

impl LastSeenBuffer {
    /// Notes that a device was here.
    pub(crate) fn record(&self, seen: LastSeenRecord) {
        let shard = usize::try_from(seen.device.0).unwrap_or(0) % SHARDS;
        let mut entries = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = (seen.at, seen.address);
        let entry = entries.entry((seen.tenant, seen.device)).or_insert(new);
        if entry.0 <= seen.at {
            *entry = new;
        }
    }

    /// What was noted before, or a part of it. Whoever was noted first is taken first, but for a little: so nobody waits
    /// for ever behind others who come again and again.
    fn take(&self, limit: usize) -> Vec<LastSeenRecord> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() || limit == usize::MAX {
            for shard in &self.shards {
                let mut entries = shard.lock().unwrap_or_else(PoisonError::into_inner);
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
            // Gives its memory back, too.
            return std::mem::take(&mut *waiting);
        }
        waiting.split_off(left)
    }
}

/// Writes when devices were last seen, all of them. What cannot be written is kept for the next time.
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

/// Writes when devices and gateways were last seen, again and again, until it is dropped.
pub async fn flush_last_seen_loop(engine: Arc<Engine>) {
    let heartbeat = engine.health.register_loop("last seen", MAX_SILENCE);
    loop {
        heartbeat.beat();
        sleep(FLUSH_PERIOD).await;
        for written in [
            write_last_seen(&engine, MAX_PER_FLUSH).await,
            access::flush_gateways_used(&engine).await,
        ] {
            if let Err(error) = written {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(
                    error,
                    "cannot write when devices and gateways were last seen; trying again"
                );
            }
        }
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
            // These come again and again, and are not taken in the place of others.
            note(0..100);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..1000));
        assert_eq!(log.take(usize::MAX).len(), 100);
    }
}
