//! Request limits: requests a second per client and per tenant, and concurrent event streams per tenant and
//! credential.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed},
};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tidegate_core::id::TenantId;

use crate::problem::Problem;

/// Maximum number of clients with a bucket. Beyond it, the bucket of a client that was idle for long is evicted; it
/// has refilled by then.
const MAX_TRACKED_CLIENTS: usize = 100_000;
/// Maximum number of tenants with a bucket.
const MAX_TRACKED_TENANTS: usize = 10_000;

/// Settings of the request limits. 0 means no limit.
#[derive(Debug, Clone)]
pub struct RequestLimitSettings {
    /// Read requests a second per client address.
    pub reads_per_second: u32,
    /// Other requests a second per client address.
    pub writes_per_second: u32,
    /// Exempts loopback and private client addresses.
    pub exempt_private: bool,
    /// Read requests a second per tenant.
    pub tenant_reads_per_second: u32,
    /// Other requests a second per tenant.
    pub tenant_writes_per_second: u32,
    /// Refused logins a minute per address, and per credential.
    pub refused_logins_per_minute: u32,
    /// Concurrent event streams per tenant. One API key, or the tokens of one user, can have half of them.
    pub event_streams: usize,
    /// The clock of the rate limits.
    pub uptime: Uptime,
}

/// Time since the server started: a monotonic clock that tests can replace.
#[derive(Clone)]
pub struct Uptime(Arc<dyn Fn() -> Duration + Send + Sync>);

impl Uptime {
    /// A clock that returns what `now` returns.
    pub fn new(now: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }
}

impl Default for Uptime {
    fn default() -> Self {
        let started = Instant::now();
        Self::new(move || started.elapsed())
    }
}

impl fmt::Debug for Uptime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Uptime").field(&(self.0)()).finish()
    }
}

impl Clock for Uptime {
    type Instant = Duration;

    fn now(&self) -> Duration {
        (self.0)()
    }
}

impl Default for RequestLimitSettings {
    fn default() -> Self {
        Self {
            reads_per_second: 200,
            writes_per_second: 50,
            exempt_private: true,
            tenant_reads_per_second: 0,
            tenant_writes_per_second: 0,
            refused_logins_per_minute: 10,
            event_streams: 100,
            uptime: Uptime::default(),
        }
    }
}

/// The state of the request limits.
pub(crate) struct RequestLimits {
    clients: KeyedRateLimits<IpAddr>,
    tenants: KeyedRateLimits<TenantId>,
    exempt_private: bool,
    streams: Arc<OpenStreams>,
}

impl RequestLimits {
    pub(crate) fn new(settings: &RequestLimitSettings) -> Self {
        let RequestLimitSettings {
            reads_per_second,
            writes_per_second,
            tenant_reads_per_second,
            tenant_writes_per_second,
            ..
        } = *settings;
        let rates = [reads_per_second, writes_per_second];
        let tenant_rates = [tenant_reads_per_second, tenant_writes_per_second];
        Self {
            clients: KeyedRateLimits::new(rates, MAX_TRACKED_CLIENTS, &settings.uptime),
            tenants: KeyedRateLimits::new(tenant_rates, MAX_TRACKED_TENANTS, &settings.uptime),
            exempt_private: settings.exempt_private,
            streams: Arc::new(OpenStreams {
                max: settings.event_streams,
                by_tenant: Mutex::default(),
            }),
        }
    }

    /// True if a client may send a request now. Clients with an unknown address are not limited.
    pub(crate) fn allow_client(&self, address: Option<IpAddr>, method: &Method) -> bool {
        let Some(address) = address else {
            return true;
        };
        let address = address.to_canonical();
        (self.exempt_private && is_private(address))
            || self.clients.allow(&rate_limit_key(address), method)
    }

    /// True if a tenant may receive a request now.
    pub(crate) fn allow_tenant(&self, tenant: TenantId, method: &Method) -> bool {
        self.tenants.allow(&tenant, method)
    }

    /// Acquires a permit for an event stream. Dropping it releases it.
    pub(crate) fn acquire_event_stream(
        &self,
        tenant: TenantId,
        holder: StreamHolder,
    ) -> Result<StreamPermit, Problem> {
        let OpenStreams { max, by_tenant } = &*self.streams;
        let max_per_holder = (max / 2).max(1);
        let refused = |detail| {
            let status = StatusCode::TOO_MANY_REQUESTS;
            Err(Problem::new(status, "too_many_streams", detail))
        };
        let mut open = by_tenant.lock();
        let holders = open.get(&tenant);
        let total: usize = holders.map_or(0, |holders| holders.values().sum());
        let own = holders.and_then(|holders| holders.get(&holder)).copied();
        if *max > 0 && total >= *max {
            return refused(format!(
                "{total} event streams of the tenant are open; close one first"
            ));
        }
        if let Some(own) = own
            && *max > 0
            && own >= max_per_holder
        {
            return refused(format!(
                "{own} event streams of this key or user are open, the most that one can have; \
                 close one first"
            ));
        }
        *open
            .entry(tenant)
            .or_default()
            .entry(holder.clone())
            .or_default() += 1;
        Ok(StreamPermit {
            streams: Arc::clone(&self.streams),
            tenant,
            holder,
        })
    }
}

/// Under what the event streams of a caller are counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum StreamHolder {
    /// The sha256 of the API key.
    Key([u8; 32]),
    /// The user of a token: further tokens give no further streams.
    User(Arc<str>),
}

/// Counts the open event streams.
struct OpenStreams {
    max: usize,
    by_tenant: Mutex<HashMap<TenantId, HashMap<StreamHolder, usize>>>,
}

/// A permit held by an open event stream.
pub(crate) struct StreamPermit {
    streams: Arc<OpenStreams>,
    tenant: TenantId,
    holder: StreamHolder,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.streams.by_tenant.lock();
        let Some(holders) = open.get_mut(&self.tenant) else {
            return;
        };
        if let Some(count) = holders.get_mut(&self.holder) {
            *count -= 1;
            if *count == 0 {
                holders.remove(&self.holder);
            }
        }
        if holders.is_empty() {
            open.remove(&self.tenant);
        }
    }
}

/// The key that a client is counted under: its IPv4 address, or its IPv6 /64 network, since a single client usually
/// has a whole one.
pub(crate) fn rate_limit_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
    }
}

/// True for loopback, private IPv4 and unique local IPv6 addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_loopback() || address.is_private(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local(),
    }
}

/// Rate limits for read requests and for other requests, by key.
struct KeyedRateLimits<K> {
    reads: Option<KeyedRateLimiter<K>>,
    writes: Option<KeyedRateLimiter<K>>,
}

impl<K: Clone + Hash + Eq> KeyedRateLimits<K> {
    fn new([reads, writes]: [u32; 2], max_keys: usize, uptime: &Uptime) -> Self {
        let rate = |per_second| {
            KeyedRateLimiter::new(NonZeroU32::new(per_second)?, max_keys, uptime).into()
        };
        Self {
            reads: rate(reads),
            writes: rate(writes),
        }
    }

    fn allow(&self, key: &K, method: &Method) -> bool {
        let rate = if *method == Method::GET || *method == Method::HEAD {
            &self.reads
        } else {
            &self.writes
        };
        rate.as_ref().is_none_or(|rate| rate.allow(key))
    }
}

pub(crate) type TokenBucket =
    RateLimiter<NotKeyed, InMemoryState, Uptime, NoOpMiddleware<Duration>>;

/// A rate limit with one token bucket per key.
struct KeyedRateLimiter<K> {
    quota: Quota,
    uptime: Uptime,
    buckets: Cache<K, Arc<TokenBucket>>,
}

impl<K: Clone + Hash + Eq> KeyedRateLimiter<K> {
    fn new(per_second: NonZeroU32, max_keys: usize, uptime: &Uptime) -> Self {
        Self {
            quota: Quota::per_second(per_second),
            uptime: uptime.clone(),
            buckets: Cache::new(max_keys),
        }
    }

    fn allow(&self, key: &K) -> bool {
        let new = || {
            let bucket = TokenBucket::direct_with_clock(self.quota, self.uptime.clone());
            Ok::<_, Infallible>(Arc::new(bucket))
        };
        let Ok(bucket) = self.buckets.get_or_insert_with(key, new);
        bucket.check().is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn limits(change: impl FnOnce(&mut RequestLimitSettings)) -> (RequestLimits, Arc<AtomicU64>) {
        let millis = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&millis);
        let mut settings = RequestLimitSettings {
            reads_per_second: 4,
            writes_per_second: 2,
            tenant_reads_per_second: 3,
            uptime: Uptime::new(move || Duration::from_millis(clock.load(Ordering::SeqCst))),
            ..RequestLimitSettings::default()
        };
        change(&mut settings);
        (RequestLimits::new(&settings), millis)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("a valid address")
    }

    #[test]
    fn a_client_has_a_rate_limit() {
        let (limits, millis) = limits(|_| {});
        let allows = |from, method| limits.allow_client(Some(address(from)), &method);
        for _ in 0..4 {
            assert!(allows("192.0.2.1", Method::GET));
        }
        assert!(!allows("192.0.2.1", Method::GET));
        assert!(
            !allows("::ffff:192.0.2.1", Method::HEAD),
            "an IPv4-mapped address is the same client"
        );
        assert!(allows("192.0.2.2", Method::GET), "another client");
        for method in [Method::PUT, Method::POST] {
            assert!(allows("192.0.2.1", method), "writes are counted separately");
        }
        assert!(!allows("192.0.2.1", Method::DELETE));

        millis.store(250, Ordering::SeqCst);
        assert!(allows("192.0.2.1", Method::GET));
        assert!(!allows("192.0.2.1", Method::GET));
        millis.store(10_000, Ordering::SeqCst);
        for _ in 0..4 {
            assert!(allows("192.0.2.1", Method::GET));
        }
        assert!(
            !allows("192.0.2.1", Method::GET),
            "a bucket holds at most one second"
        );
        assert!(limits.allow_client(None, &Method::GET));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let (limits, _) = limits(|_| {});
        let allows = |from| limits.allow_client(Some(address(from)), &Method::POST);
        assert!(allows("2001:db8::1") && allows("2001:db8::2"));
        assert!(!allows("2001:db8::3"));
        assert!(allows("2001:db8:0:1::3"));
    }

    #[test]
    fn private_networks_are_exempt_unless_configured() {
        let private = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "::1",
            "fd00::1",
        ];
        for exempt_private in [true, false] {
            let (limits, _) = limits(|settings| settings.exempt_private = exempt_private);
            for from in private {
                let allowed =
                    (0..3).all(|_| limits.allow_client(Some(address(from)), &Method::POST));
                assert_eq!(allowed, exempt_private, "{from}");
            }
            for from in ["172.32.0.1", "11.0.0.1", "2001:db8::1"] {
                let allowed =
                    (0..3).all(|_| limits.allow_client(Some(address(from)), &Method::POST));
                assert!(!allowed, "{from}");
            }
        }
    }

    #[test]
    fn tenants_have_their_own_limits() {
        let (limits, _) = limits(|_| {});
        let allows = |tenant, method| limits.allow_tenant(TenantId(tenant), &method);
        for _ in 0..3 {
            assert!(allows(1, Method::GET));
        }
        assert!(!allows(1, Method::GET));
        assert!(allows(2, Method::GET));
        assert!((0..100).all(|_| allows(1, Method::POST)), "0 is no limit");
    }

    #[test]
    fn an_evicted_client_starts_with_a_full_bucket() {
        let rate = KeyedRateLimiter::new(NonZeroU32::MIN, 10, &Uptime::new(|| Duration::ZERO));
        for client in 0..10_000 {
            assert!(rate.allow(&client));
        }
        assert!(rate.buckets.len() <= 10);
        assert!(
            !rate.allow(&9_999),
            "the latest client still has its bucket"
        );
        let remembered = (0..9_999).filter(|client| !rate.allow(client)).count();
        assert!(remembered < 10, "{remembered}");
    }

    #[test]
    fn a_dropped_stream_permit_is_free_again() {
        let (limits, _) = limits(|settings| settings.event_streams = 2);
        let open = |tenant, key| {
            limits.acquire_event_stream(TenantId(tenant), StreamHolder::Key([key; 32]))
        };
        let first = open(1, 1).ok();
        let second = open(1, 2).ok();
        assert!(open(1, 3).is_err() && open(2, 3).is_ok());
        drop(first);
        let third = open(1, 3);
        assert!(third.is_ok() && open(1, 4).is_err());
        drop((third, second));
        assert!(limits.streams.by_tenant.lock().is_empty());
    }

    #[test]
    fn one_key_or_user_has_half_of_the_streams_of_its_tenant() {
        let open = |limits: &RequestLimits, holder: &StreamHolder| {
            limits.acquire_event_stream(TenantId(1), holder.clone())
        };
        let holders = [
            StreamHolder::Key([1; 32]),
            StreamHolder::User("olga".into()),
        ];
        for (max, per_holder) in [(1, 1), (2, 1), (5, 2), (6, 3)] {
            for holder in &holders {
                let (limits, _) = limits(|settings| settings.event_streams = max);
                let held: Vec<_> = (0..per_holder)
                    .map(|_| open(&limits, holder).expect("a stream"))
                    .collect();
                assert!(open(&limits, holder).is_err(), "{max}");
                let other = open(&limits, &StreamHolder::Key([2; 32]));
                assert_eq!(other.is_ok(), max > 1, "{max}");
                drop(held);
                assert!(open(&limits, holder).is_ok(), "{max}");
            }
        }
        let (limits, _) = limits(|settings| settings.event_streams = 0);
        let held: Vec<_> = (0..1_000).map(|_| open(&limits, &holders[0])).collect();
        assert!(held.iter().all(Result::is_ok), "0 is no limit");
    }
}
