//! Refused logins: requests whose credential is not accepted. They are logged, counted, and slowed for each address and
//! each credential. A valid credential is accepted whatever was refused before ([ADR 97]).
//!
//! [ADR 97]: ../../../docs/adr/0097-slow-refused-logins-and-never-a-valid-credential.md

use std::{
    convert::Infallible,
    hash::Hash,
    net::IpAddr,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use governor::{Quota, clock::Clock as _};
use http::StatusCode;
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use tidegate_core::Named as _;
use tracing::field::display;

use crate::{
    limits::{RequestLimitSettings, TokenBucket, Uptime, rate_limit_key},
    metrics::{LoginKind, Metrics},
    problem::Problem,
};

/// Maximum number of addresses with a budget. Beyond it, the budget of an address without recent refusals is forgotten.
const MAX_TRACKED_ADDRESSES: usize = 100_000;
/// Maximum number of credentials with a budget.
const MAX_TRACKED_CREDENTIALS: usize = 10_000;

/// A login that was refused.
#[derive(Debug)]
pub(crate) struct RefusedLogin<'a> {
    pub(crate) kind: LoginKind,
    /// Why it was refused, for operators.
    pub(crate) reason: &'static str,
    /// The sha256 of the credential, if logins with it are slowed.
    pub(crate) credential: Option<[u8; 32]>,
    /// The id of the API key, if it may be logged.
    pub(crate) key_id: Option<String>,
    /// The tenant and the device of the path, as they are written there.
    pub(crate) device: Option<(&'a str, &'a str)>,
}

impl RefusedLogin<'_> {
    pub(crate) fn new(kind: LoginKind, reason: &'static str) -> Self {
        Self {
            kind,
            reason,
            credential: None,
            key_id: None,
            device: None,
        }
    }
}

/// How many logins were refused lately.
pub(crate) struct RefusedLogins {
    addresses: Option<Budgets<IpAddr>>,
    credentials: Option<Budgets<[u8; 32]>>,
}

impl RefusedLogins {
    pub(crate) fn new(settings: &RequestLimitSettings) -> Self {
        let per_minute = NonZeroU32::new(settings.refused_logins_per_minute);
        let uptime = &settings.uptime;
        Self {
            addresses: per_minute.map(|n| Budgets::new(n, MAX_TRACKED_ADDRESSES, uptime)),
            credentials: per_minute.map(|n| Budgets::new(n, MAX_TRACKED_CREDENTIALS, uptime)),
        }
    }

    /// How long this credential has to wait: it was refused too often, and is not checked before. No valid credential
    /// waits, because only refusals spend the budget.
    pub(crate) fn wait_of(&self, credential: &[u8; 32]) -> Option<Duration> {
        self.credentials.as_ref()?.wait_of(credential)
    }

    /// Logs and counts a refusal. The result is how long the client has to wait if too many logins of its address or with
    /// its credential were refused; the log then has one event for all of them.
    pub(crate) fn record(
        &self,
        metrics: &Metrics,
        address: Option<IpAddr>,
        login: &RefusedLogin<'_>,
    ) -> Option<Duration> {
        metrics.login_refused(login.kind);
        let spent = self.spend(address, login.credential.as_ref());
        let (kind, client) = (login.kind.as_str(), address.map(display));
        match spent {
            BudgetState::Within => {
                let (tenant, device) = login.device.unzip();
                tracing::warn!(
                    kind,
                    client,
                    key_id = login.key_id.as_deref(),
                    tenant = tenant.map(debug),
                    device = device.map(debug),
                    reason = login.reason,
                    "login refused"
                );
            }
            BudgetState::FirstBeyond(_) => {
                tracing::warn!(
                    kind,
                    client,
                    "too many logins refused, further ones are only counted"
                );
            }
            BudgetState::Beyond(_) => {}
        }
        spent.wait()
    }

    /// Spends a refusal of the budgets of the address and of the credential.
    fn spend(&self, address: Option<IpAddr>, credential: Option<&[u8; 32]>) -> BudgetState {
        let address = address.map(|address| rate_limit_key(address.to_canonical()));
        let of_address = spend(self.addresses.as_ref(), address.as_ref());
        let of_credential = spend(self.credentials.as_ref(), credential);
        of_address.longer(of_credential)
    }
}

fn spend<K: Clone + Hash + Eq>(budgets: Option<&Budgets<K>>, key: Option<&K>) -> BudgetState {
    match (budgets, key) {
        (Some(budgets), Some(key)) => budgets.spend(key),
        _ => BudgetState::Within,
    }
}

/// What is left of a budget after a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BudgetState {
    Within,
    /// The first refusal beyond the budget, and the time until the next one is within it.
    FirstBeyond(Duration),
    Beyond(Duration),
}

impl BudgetState {
    fn wait(self) -> Option<Duration> {
        match self {
            Self::Within => None,
            Self::FirstBeyond(wait) | Self::Beyond(wait) => Some(wait),
        }
    }

    /// Of a refusal that spent two budgets: the longer wait. It is the first one beyond if it is that of any budget.
    fn longer(self, other: Self) -> Self {
        let Some(wait) = self.wait().max(other.wait()) else {
            return Self::Within;
        };
        let is_first = |spent| matches!(spent, Self::FirstBeyond(_));
        if is_first(self) || is_first(other) {
            Self::FirstBeyond(wait)
        } else {
            Self::Beyond(wait)
        }
    }
}

/// A budget of refusals for each key.
struct Budgets<K> {
    quota: Quota,
    uptime: Uptime,
    by_key: Cache<K, Arc<RefusalBudget>>,
}

struct RefusalBudget {
    bucket: TokenBucket,
    /// When the next refusal is within the budget, if the last one was not.
    spent_until: Mutex<Duration>,
    was_beyond: AtomicBool,
}

impl<K: Clone + Hash + Eq> Budgets<K> {
    fn new(per_minute: NonZeroU32, max_keys: usize, uptime: &Uptime) -> Self {
        Self {
            quota: Quota::per_minute(per_minute),
            uptime: uptime.clone(),
            by_key: Cache::new(max_keys),
        }
    }

    fn wait_of(&self, key: &K) -> Option<Duration> {
        let budget = self.by_key.get(key)?;
        let wait = budget.spent_until.lock().checked_sub(self.uptime.now())?;
        (!wait.is_zero()).then_some(wait)
    }

    fn spend(&self, key: &K) -> BudgetState {
        let new = || {
            Ok::<_, Infallible>(Arc::new(RefusalBudget {
                bucket: TokenBucket::direct_with_clock(self.quota, self.uptime.clone()),
                spent_until: Mutex::default(),
                was_beyond: AtomicBool::new(false),
            }))
        };
        let Ok(budget) = self.by_key.get_or_insert_with(key, new);
        let Err(refused) = budget.bucket.check() else {
            budget.was_beyond.store(false, Ordering::Relaxed);
            return BudgetState::Within;
        };
        let now = self.uptime.now();
        let wait = refused.wait_time_from(now);
        *budget.spent_until.lock() = now + wait;
        if budget.was_beyond.swap(true, Ordering::Relaxed) {
            BudgetState::Beyond(wait)
        } else {
            BudgetState::FirstBeyond(wait)
        }
    }
}

/// 429 for a login that was refused too often.
pub(crate) fn too_many_refused(wait: Duration) -> Problem {
    let detail = "too many logins of this address or with this credential were refused; check the credential, and retry \
                  after the time in Retry-After";
    let status = StatusCode::TOO_MANY_REQUESTS;
    Problem::new(status, "too_many_refused_logins", detail).retry_after(wait)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const WAIT: Duration = Duration::from_secs(20);

    /// Three refusals a minute; the clock is in seconds.
    fn refused_logins() -> (RefusedLogins, Arc<AtomicU64>) {
        let seconds = Arc::new(AtomicU64::new(0));
        let clock = Arc::clone(&seconds);
        let settings = RequestLimitSettings {
            refused_logins_per_minute: 3,
            uptime: Uptime::new(move || Duration::from_secs(clock.load(Ordering::SeqCst))),
            ..RequestLimitSettings::default()
        };
        (RefusedLogins::new(&settings), seconds)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_and_a_credential_have_a_budget_each() {
        let (refused, seconds) = refused_logins();
        for n in 0..3 {
            let spent = refused.spend(Some(address("127.0.0.1")), Some(&[n; 32]));
            assert_eq!(spent, BudgetState::Within);
        }
        let spend = |from, key: u8| refused.spend(Some(address(from)), Some(&[key; 32]));
        assert_eq!(spend("127.0.0.1", 4), BudgetState::FirstBeyond(WAIT));
        assert_eq!(spend("127.0.0.1", 5), BudgetState::Beyond(WAIT));
        assert_eq!(
            refused.spend(Some(address("::ffff:127.0.0.1")), None),
            BudgetState::Beyond(WAIT)
        );
        // The credential was refused from many addresses.
        for from in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            assert_eq!(refused.wait_of(&[9; 32]), None);
            assert_eq!(spend(from, 9), BudgetState::Within);
        }
        assert_eq!(spend("192.0.2.4", 9), BudgetState::FirstBeyond(WAIT));
        assert_eq!(refused.wait_of(&[9; 32]), Some(WAIT));
        assert_eq!(refused.wait_of(&[8; 32]), None);
        seconds.store(19, Ordering::SeqCst);
        assert_eq!(refused.wait_of(&[9; 32]), Some(Duration::from_secs(1)));
        seconds.store(20, Ordering::SeqCst);
        assert_eq!(refused.wait_of(&[9; 32]), None);
        assert_eq!(spend("127.0.0.1", 6), BudgetState::Within);
        assert_eq!(spend("127.0.0.1", 6), BudgetState::FirstBeyond(WAIT));
    }

    #[test]
    fn a_client_without_an_address_spends_the_budget_of_its_credential_only() {
        let (refused, _) = refused_logins();
        for n in 0..10 {
            assert_eq!(refused.spend(None, Some(&[n; 32])), BudgetState::Within);
            assert_eq!(refused.spend(None, None), BudgetState::Within);
        }
        for _ in 0..2 {
            assert_eq!(refused.spend(None, Some(&[0; 32])), BudgetState::Within);
        }
        assert_eq!(
            refused.spend(None, Some(&[0; 32])),
            BudgetState::FirstBeyond(WAIT)
        );
    }

    #[test]
    fn zero_refusals_a_minute_are_no_limit() {
        let refused = RefusedLogins::new(&RequestLimitSettings {
            refused_logins_per_minute: 0,
            ..RequestLimitSettings::default()
        });
        for _ in 0..1_000 {
            let spent = refused.spend(Some(address("192.0.2.1")), Some(&[0; 32]));
            assert_eq!(spent, BudgetState::Within);
        }
        assert_eq!(refused.wait_of(&[0; 32]), None);
    }

    #[test]
    fn the_memory_is_bounded() {
        let uptime = Uptime::new(|| Duration::ZERO);
        let budgets = Budgets::new(NonZeroU32::MIN, 10, &uptime);
        for key in 0..10_000 {
            budgets.spend(&key);
        }
        assert!(budgets.by_key.len() <= 10);
        assert_eq!(budgets.spend(&9_999).wait(), Some(Duration::from_mins(1)));
    }
}
