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

use crate::{Engine, Result, access, ports::Seen};

/// How long last-seen times are gathered before they are written.
const PERIOD: Duration = Duration::from_secs(5);
/// How long writing them may take, however many they are.
const PATIENCE: Duration = Duration::from_mins(5);
/// Most devices that are written in one period. When more come, they wait in memory, where a device that comes again
/// costs nothing: last-seen times lag behind under such a load, and polls do not.
const BUDGET: usize = 20_000;
/// Most devices in one transaction: feedback must not wait long behind it.
const BATCH: usize = 1000;
/// Polls of different devices seldom wait for one another.
const SHARDS: usize = 16;

/// Who was seen since the last batch was written: one time and place for each device, however often it came.
#[derive(Default)]
pub struct SeenLog {
    shards: [Mutex<HashMap<(TenantId, DeviceKey), Sight>>; SHARDS],
    /// Taken from there, and not written yet.
    waiting: Mutex<Vec<Seen>>,
}

/// When a device was seen, and from where it came.
type Sight = (Timestamp, Option<IpAddr>);

impl SeenLog {
    /// Notes that a device was here.
    pub(crate) fn note(&self, seen: Seen) {
        let shard = usize::try_from(seen.device.0).unwrap_or(0) % SHARDS;
        let mut sights = self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = (seen.at, seen.address);
        let sight = sights.entry((seen.tenant, seen.device)).or_insert(new);
        if sight.0 <= seen.at {
            *sight = new;
        }
    }

    /// What was noted before, or a part of it. Whoever was noted first is taken first, but for a little: so nobody waits
    /// for ever behind others who come again and again.
    fn take(&self, most: usize) -> Vec<Seen> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.is_empty() || most == usize::MAX {
            for shard in &self.shards {
                let mut sights = shard.lock().unwrap_or_else(PoisonError::into_inner);
                let taken = std::mem::take(&mut *sights).into_iter();
                waiting.extend(taken.map(|((tenant, device), (at, address))| Seen {
                    tenant,
                    device,
                    at,
                    address,
                }));
            }
        }
        let left = waiting.len().saturating_sub(most);
        if left == 0 {
            // Gives its memory back, too.
            return std::mem::take(&mut *waiting);
        }
        waiting.split_off(left)
    }
}

/// Writes when devices were last seen, all of them. What cannot be written is kept for the next time.
pub async fn flush_seen(engine: &Engine) -> Result<()> {
    write_seen(engine, usize::MAX).await
}

async fn write_seen(engine: &Engine, most: usize) -> Result<()> {
    let seen = engine.seen.take(most);
    for (number, batch) in seen.chunks(BATCH).enumerate() {
        if let Err(error) = engine.store().note_seen(batch.to_vec()).await {
            for unwritten in &seen[number * BATCH..] {
                engine.seen.note(*unwritten);
            }
            return Err(error.into());
        }
    }
    Ok(())
}

/// Writes when devices and gateways were last seen, again and again, until it is dropped.
pub async fn keep_seen(engine: Arc<Engine>) {
    let pulse = engine.loops.watch("last seen", PATIENCE);
    loop {
        pulse.beat();
        sleep(PERIOD).await;
        for written in [
            write_seen(&engine, BUDGET).await,
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

    fn seen(device: i64, at: i64) -> Seen {
        Seen {
            tenant: TenantId(1),
            device: DeviceKey(device),
            at: Timestamp(at),
            address: u8::try_from(at).ok().map(|at| IpAddr::from([10, 0, 0, at])),
        }
    }

    #[test]
    fn a_device_that_comes_often_is_one_entry_with_its_latest_time_and_place() {
        let log = SeenLog::default();
        for (device, at) in [(1, 10), (2, 11), (1, 30), (1, 20)] {
            log.note(seen(device, at));
        }
        let mut taken = log.take(usize::MAX);
        taken.sort_unstable_by_key(|seen| seen.device);
        assert_eq!(taken, [seen(1, 30), seen(2, 11)]);
        assert_eq!(log.take(usize::MAX), []);
    }

    #[test]
    fn of_very_many_a_part_is_taken_at_a_time_and_nobody_is_lost() {
        let log = SeenLog::default();
        let note = |devices: std::ops::Range<i64>| {
            for device in devices {
                log.note(seen(device, device));
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
