//! The accounting of all connections: which ones are open, what each of them does, and which one is closed when.
//!
//! A connection's task records what it does in its [`Activity`], with a few operations on memory of its own for each
//! request. The table is locked only when a connection opens or closes, and for a scan of all of them once a second and
//! when room is needed.

mod activity;
mod eviction;
#[cfg(test)]
mod tests;

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::limits::rate_limit_key;
use activity::{AddressUse, CloseMode, ConnectionPhase, millis_since};
use eviction::EvictionRank;

pub(crate) use activity::{Activity, OpenRequest};

/// How long a connection without a request is kept when it has to close: the last response may still be on its way.
const LINGER: Duration = Duration::from_millis(250);
/// How often a full server checks whether it can close a connection.
const FULL_RETRY: Duration = Duration::from_millis(20);
/// Minimum interval between two scans for late requests of an address, and before the next scan for room after one that
/// found none; in milliseconds.
const SCAN_INTERVAL: u64 = 20;
/// Minimum interval between warnings.
const WARNING_INTERVAL: Duration = Duration::from_mins(1);
/// A head is late after this part of the time that it may take, and so is a client that reads nothing.
const LATE_HEAD: u32 = 5;

/// The limits of connections.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionLimits {
    /// Maximum number of connections.
    pub(crate) max: usize,
    /// Maximum number of connections of one address whose requests are incomplete, when the maximum of all is near.
    pub(crate) incomplete_per_address: usize,
    /// Maximum time from the opening of a connection, or from the first byte of a further request, to the end of the
    /// request's head.
    pub(crate) head_timeout: Duration,
    /// Maximum time between two requests.
    pub(crate) keep_alive_timeout: Duration,
    /// Maximum time in which a client reads nothing of a response.
    pub(crate) write_idle_timeout: Duration,
}

impl ConnectionLimits {
    /// The part of the connections that is for operators and probes.
    fn reserve(&self) -> usize {
        self.max / 20
    }

    /// How many connections are closed at once to make room, so that a scan of all of them serves several new ones.
    fn batch(&self) -> usize {
        self.max / 64 + 1
    }

    /// The interval of [`Connections::sweep`].
    pub(crate) fn sweep_interval(&self) -> Duration {
        let shortest = self.head_timeout.min(self.keep_alive_timeout);
        let shortest = shortest.min(self.write_idle_timeout);
        (shortest / 10).clamp(Duration::from_millis(10), Duration::from_secs(1))
    }
}

/// The connections of a server.
#[derive(Clone)]
pub(crate) struct Connections(Arc<ConnectionsInner>);

struct ConnectionsInner {
    limits: ConnectionLimits,
    epoch: Instant,
    table: Mutex<Table>,
    /// A connection has closed.
    closed: Notify,
}

#[derive(Default)]
struct Table {
    connections: HashMap<u64, Arc<Activity>>,
    last_id: u64,
    /// Connections that were asked to close.
    closing: usize,
    /// Until when no connection can be closed to make room, in milliseconds.
    no_room_until: u64,
    addresses: HashMap<IpAddr, AddressEntry>,
    evicted: EvictionCounts,
    last_warning: Option<Instant>,
}

#[derive(Default)]
struct AddressEntry {
    connections: usize,
    /// When its incomplete requests may be scanned again, in milliseconds.
    next_scan: u64,
    usage: Arc<AddressUse>,
}

/// Connections that were closed to make room, since the last warning.
#[derive(Debug, Default, PartialEq, Eq)]
struct EvictionCounts {
    idle: usize,
    incomplete: usize,
    stalled: usize,
}

/// An open connection. Dropping it removes it from the accounting.
pub(crate) struct OpenConnection {
    shared: Arc<ConnectionsInner>,
    id: u64,
    address: IpAddr,
    pub(crate) activity: Arc<Activity>,
    /// It uses the reserve: no device is served on it.
    pub(crate) uses_reserve: bool,
}

/// Closes an open connection from within one of its requests.
pub(crate) struct ConnectionCloser {
    shared: Arc<ConnectionsInner>,
    activity: Arc<Activity>,
}

impl Connections {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self(Arc::new(ConnectionsInner {
            limits,
            epoch: Instant::now(),
            table: Mutex::default(),
            closed: Notify::new(),
        }))
    }

    /// Adds a connection, and closes others if there is no room. Waits while all connections are being answered, and until
    /// those that were asked to close have done so.
    pub(crate) async fn open(&self, peer: IpAddr) -> OpenConnection {
        loop {
            if let Some(connection) = self.try_open(peer) {
                return connection;
            }
            let _ = timeout(FULL_RETRY, self.0.closed.notified()).await;
            self.sweep();
        }
    }

    fn try_open(&self, peer: IpAddr) -> Option<OpenConnection> {
        let shared = &*self.0;
        let limits = &shared.limits;
        let address = rate_limit_key(peer.to_canonical());
        let now = millis_since(shared.epoch);
        let mut table = shared.table.lock();
        if table.is_near_limit(limits) {
            let incomplete = table.incomplete_of(address);
            if incomplete >= limits.incomplete_per_address {
                let count = incomplete - limits.incomplete_per_address + 1;
                let count = count + limits.batch() / 4;
                table.close_late_requests(address, count, now, shared.late(now));
            }
        }
        if table.is_near_limit(limits) {
            table.make_room(limits.batch(), now, shared.late(now));
        }
        let open = table.open();
        if open >= limits.max
            && let Some(closed) = table.evicted_for_warning()
        {
            tracing::warn!(
                max = limits.max,
                open,
                closed_idle = closed.idle,
                closed_incomplete = closed.incomplete,
                closed_stalled = closed.stalled,
                "connection limit reached"
            );
        }
        if table.connections.len() >= limits.max {
            return None;
        }
        let entry = table.addresses.entry(address).or_default();
        entry.connections += 1;
        let activity = Arc::new(Activity::new(shared.epoch, Arc::clone(&entry.usage)));
        table.last_id += 1;
        let id = table.last_id;
        table.connections.insert(id, Arc::clone(&activity));
        Some(OpenConnection {
            shared: Arc::clone(&self.0),
            id,
            address,
            activity,
            uses_reserve: open + limits.reserve() >= limits.max,
        })
    }

    /// Closes a few connections: the system has no file descriptors left.
    pub(crate) fn make_room(&self) {
        let shared = &*self.0;
        let now = millis_since(shared.epoch);
        let mut table = shared.table.lock();
        table.make_room(shared.limits.batch(), now, shared.late(now));
    }

    /// Closes connections that have waited for too long, and, if the limit of all is near, those of addresses with too many
    /// incomplete requests. Far from it they take nothing from others, and a large fleet may need seconds for its TLS
    /// handshakes.
    pub(crate) fn sweep(&self) {
        let shared = &*self.0;
        let limits = &shared.limits;
        let now = millis_since(shared.epoch);
        let mut table = shared.table.lock();
        let late = shared.late(now);
        table.close_lingering(now, late);
        table.close_where(|activity| match activity.phase() {
            ConnectionPhase::Head { since } => {
                (age(now, since) > limits.head_timeout).then_some(CloseMode::Now)
            }
            ConnectionPhase::Idle { since } => {
                (age(now, since) > limits.keep_alive_timeout).then_some(CloseMode::Gracefully)
            }
            ConnectionPhase::Stalled { since } => {
                (age(now, since) > limits.write_idle_timeout).then_some(CloseMode::Now)
            }
            ConnectionPhase::Busy | ConnectionPhase::Body { .. } => None,
        });
        if table.is_near_limit(limits) {
            table.close_excess(limits.incomplete_per_address, now, late);
        }
        if table.evicted != EvictionCounts::default()
            && let Some(closed) = table.evicted_for_warning()
        {
            tracing::warn!(
                max = limits.max,
                open = table.open(),
                closed_idle = closed.idle,
                closed_incomplete = closed.incomplete,
                closed_stalled = closed.stalled,
                "connections closed to make room"
            );
        }
    }

    /// Closes all connections, each after its open requests. Returns when they are closed.
    pub(crate) async fn shutdown(&self) {
        loop {
            {
                let mut table = self.0.table.lock();
                if table.connections.is_empty() {
                    return;
                }
                let now = millis_since(self.0.epoch);
                table.close_where(|_| Some(CloseMode::Gracefully));
                table.close_lingering(now, self.0.late(now));
            }
            let _ = timeout(LINGER, self.0.closed.notified()).await;
        }
    }
}

impl OpenConnection {
    pub(crate) fn closer(&self) -> ConnectionCloser {
        ConnectionCloser {
            shared: Arc::clone(&self.shared),
            activity: Arc::clone(&self.activity),
        }
    }
}

impl ConnectionCloser {
    /// Asks the connection to close after its open requests.
    pub(crate) fn close_gracefully(&self) {
        let mut table = self.shared.table.lock();
        if self.activity.close(CloseMode::Gracefully) {
            table.closing += 1;
        }
    }
}

impl ConnectionsInner {
    /// Heads that began before this are late.
    fn late(&self, now: u64) -> u64 {
        now.saturating_sub((self.limits.head_timeout / LATE_HEAD).as_millis() as u64)
    }
}

impl Table {
    /// Number of connections that were not asked to close.
    fn open(&self) -> usize {
        self.connections.len() - self.closing
    }

    /// Whether only the reserve is left.
    fn is_near_limit(&self, limits: &ConnectionLimits) -> bool {
        self.open() + limits.reserve() >= limits.max
    }

    fn incomplete_of(&self, address: IpAddr) -> usize {
        let usage = self.addresses.get(&address).map(|address| &address.usage);
        usage.map_or(0, |usage| usage.incomplete.load(Ordering::Relaxed))
    }

    /// Asks connections to close as `how` says; `None`: not at all.
    fn close_where(&mut self, how: impl Fn(&Activity) -> Option<CloseMode>) {
        for activity in self.connections.values() {
            if let Some(how) = how(activity)
                && activity.close(how)
            {
                self.closing += 1;
            }
        }
    }

    /// Closes those that were asked to and have not done so: a head that is half sent, or a client that reads nothing, would
    /// keep a connection open.
    fn close_lingering(&mut self, now: u64, late: u64) {
        self.close_where(|activity| {
            let is_over = match activity.phase() {
                ConnectionPhase::Stalled { since } => {
                    activity.closing() != CloseMode::No && since < late
                }
                _ => activity
                    .closing_without_request(now)
                    .is_some_and(|waited| waited >= LINGER),
            };
            is_over.then_some(CloseMode::Now)
        });
    }

    /// Closes late connections of the addresses that have more incomplete requests than `maximum`.
    fn close_excess(&mut self, maximum: usize, now: u64, late: u64) {
        let excess: Vec<_> = self
            .addresses
            .keys()
            .map(|&address| (address, self.incomplete_of(address)))
            .filter(|(_, incomplete)| *incomplete > maximum)
            .collect();
        for (address, incomplete) in excess {
            self.close_late_requests(address, incomplete - maximum, now, late);
        }
    }

    /// Closes at most `count` connections, those with the lowest rank first.
    fn make_room(&mut self, count: usize, now: u64, late: u64) {
        if now < self.no_room_until {
            return;
        }
        let ranked = |activity: &Activity| {
            let of_address = activity.address().incomplete.load(Ordering::Relaxed);
            EvictionRank::of(activity.phase(), of_address, late)
        };
        if self.evict(count, ranked) == 0 {
            self.no_room_until = now + SCAN_INTERVAL;
        }
    }

    /// Closes at most `count` connections of an address whose requests are incomplete and late, the oldest first. A fleet
    /// that connects at once is not late.
    fn close_late_requests(&mut self, address: IpAddr, count: usize, now: u64, late: u64) {
        let Some(entry) = self.addresses.get_mut(&address) else {
            return;
        };
        if now < entry.next_scan {
            return;
        }
        entry.next_scan = now + SCAN_INTERVAL;
        let usage = Arc::clone(&entry.usage);
        let ranked = |activity: &Activity| {
            if !Arc::ptr_eq(activity.address(), &usage) {
                return None;
            }
            match activity.phase() {
                ConnectionPhase::Head { since } | ConnectionPhase::Body { since }
                    if since < late =>
                {
                    let of_address = Reverse(0);
                    Some(EvictionRank::Incomplete { of_address, since })
                }
                _ => None,
            }
        };
        self.evict(count, ranked);
    }

    /// Closes at most `count` connections, those with the lowest rank first. Returns how many it closed.
    fn evict(&mut self, count: usize, rank: impl Fn(&Activity) -> Option<EvictionRank>) -> usize {
        let ranked: Vec<_> = self
            .connections
            .values()
            .filter(|activity| activity.closing() == CloseMode::No)
            .filter_map(|activity| Some((rank(activity)?, activity)))
            .collect();
        let evicted = eviction::lowest(ranked, count);
        let count = evicted.len();
        for (rank, activity) in evicted {
            let how = match rank {
                EvictionRank::Idle { .. } => {
                    self.evicted.idle += 1;
                    CloseMode::Gracefully
                }
                EvictionRank::LateHead { .. } | EvictionRank::Incomplete { .. } => {
                    self.evicted.incomplete += 1;
                    CloseMode::Now
                }
                EvictionRank::Stalled { .. } => {
                    self.evicted.stalled += 1;
                    CloseMode::Now
                }
            };
            if activity.close(how) {
                self.closing += 1;
            }
        }
        count
    }

    /// The connections that were closed to make room since the last warning; none if that was a short time ago.
    fn evicted_for_warning(&mut self) -> Option<EvictionCounts> {
        let last = self.last_warning;
        let is_due = last.is_none_or(|at| at.elapsed() >= WARNING_INTERVAL);
        is_due.then(|| {
            self.last_warning = Some(Instant::now());
            std::mem::take(&mut self.evicted)
        })
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let mut table = self.shared.table.lock();
        table.connections.remove(&self.id);
        if self.activity.closing() != CloseMode::No {
            table.closing -= 1;
        }
        if let Some(address) = table.addresses.get_mut(&self.address) {
            address.connections -= 1;
            if address.connections == 0 {
                table.addresses.remove(&self.address);
            }
        }
        drop(table);
        self.shared.closed.notify_one();
    }
}

fn age(now: u64, since: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(since))
}
