//! Whether the background loops still go round.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Watches loops and long pieces of work: one that ended or is stuck has to be seen from outside.
#[derive(Default)]
pub struct Loops(Mutex<Watched>);

#[derive(Default)]
struct Watched {
    next: u64,
    things: BTreeMap<u64, Thing>,
}

struct Thing {
    name: &'static str,
    /// The longest silence that is no reason to worry.
    patience: Duration,
    heard: Instant,
    has_ended: bool,
}

/// What a loop is heard by. It is watched from the moment this is made; dropping it is its end.
pub struct Pulse {
    loops: Arc<Loops>,
    number: u64,
    may_end: bool,
}

impl Loops {
    /// Watches a loop, which is never to end and to go round within this time.
    pub fn watch(self: &Arc<Self>, name: &'static str, patience: Duration) -> Pulse {
        self.begin(name, patience, false)
    }

    /// Watches a piece of work, which is to end within this time.
    pub fn work(self: &Arc<Self>, name: &'static str, patience: Duration) -> Pulse {
        self.begin(name, patience, true)
    }

    /// What is wrong with the first that is not as it should be, in words.
    pub fn complaint(&self) -> Option<String> {
        let watched = self.lock();
        let complaints = watched.things.values().filter_map(Thing::complaint);
        complaints.into_iter().next()
    }

    fn begin(self: &Arc<Self>, name: &'static str, patience: Duration, may_end: bool) -> Pulse {
        let mut watched = self.lock();
        let number = watched.next;
        watched.next += 1;
        let thing = Thing {
            name,
            patience,
            heard: Instant::now(),
            has_ended: false,
        };
        watched.things.insert(number, thing);
        Pulse {
            loops: Arc::clone(self),
            number,
            may_end,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Thing {
    fn complaint(&self) -> Option<String> {
        let name = self.name;
        if self.has_ended {
            return Some(format!("{name}: ended"));
        }
        let silence = self.heard.elapsed();
        let is_stuck = silence >= self.patience;
        is_stuck.then(|| format!("{name}: nothing happened for {} s", silence.as_secs()))
    }
}

impl Pulse {
    /// The loop has gone round.
    pub fn beat(&self) {
        if let Some(thing) = self.loops.lock().things.get_mut(&self.number) {
            thing.heard = Instant::now();
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        let mut watched = self.loops.lock();
        if self.may_end {
            watched.things.remove(&self.number);
        } else if let Some(thing) = watched.things.get_mut(&self.number) {
            thing.has_ended = true;
            if std::thread::panicking() {
                tracing::error!(name = thing.name, "a background loop panicked");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn a_loop_is_fine_until_it_ends() {
        let loops = Arc::new(Loops::default());
        let pulse = loops.watch("campaigns", LONG);
        assert_eq!(loops.complaint(), None);
        drop(pulse);
        assert_eq!(loops.complaint().as_deref(), Some("campaigns: ended"));
    }

    #[test]
    fn work_may_end() {
        let loops = Arc::new(Loops::default());
        drop(loops.work("a look", LONG));
        assert_eq!(loops.complaint(), None);
    }

    #[test]
    fn what_is_silent_for_too_long_is_stuck() {
        let loops = Arc::new(Loops::default());
        let _fine = loops.watch("deadlines", LONG);
        let pulse = loops.work("a look", Duration::ZERO);
        pulse.beat();
        assert_eq!(
            loops.complaint().as_deref(),
            Some("a look: nothing happened for 0 s")
        );
        drop(pulse);
        assert_eq!(loops.complaint(), None);
    }
}
