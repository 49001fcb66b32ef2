//! Ports for tests: a manual clock, deterministic entropy, and a sandbox that refuses every call.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, HealthAnswer, HealthInput, Observation,
        Plan, PlanInput,
    },
    time::Timestamp,
};
use tidegate_engine::ports::{
    Call, CallFailure, CallLimits, CallQuota, Clock, Entropy, Inspection, Rejection, Sandbox,
    Validation, Wants,
};

pub(crate) struct ManualClock {
    millis: AtomicI64,
    /// How often it is read until it panics.
    reads_until_panic: AtomicUsize,
}

impl ManualClock {
    pub(super) fn at(millis: i64) -> Self {
        Self {
            millis: AtomicI64::new(millis),
            reads_until_panic: AtomicUsize::new(usize::MAX),
        }
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.millis.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    /// Panics once, after it was read this often.
    pub(crate) fn panic_after(&self, reads: usize) {
        self.reads_until_panic.store(reads, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let left = self.reads_until_panic.fetch_sub(1, Ordering::SeqCst);
        assert!(left > 0, "the clock panics: {left}");
        let now = self.millis.load(Ordering::SeqCst);
        assert!(now >= 0, "the clock must not go before 1970");
        Timestamp(now)
    }
}

/// Returns different bytes on every call, which are predictable.
#[derive(Default)]
pub(super) struct CountingEntropy(AtomicU8);

impl Entropy for CountingEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0.fetch_add(1, Ordering::SeqCst));
    }
}

/// Requests of devices never call plugins.
pub(super) struct NoSandbox;

fn failed_call<T>() -> Call<T> {
    Call::failed(no_sandbox_failure())
}

fn no_sandbox_failure() -> CallFailure {
    CallFailure::Host("the test has no sandbox".to_owned())
}

#[async_trait]
impl Sandbox for NoSandbox {
    async fn inspect(&self, _: Option<TenantId>, _: Bytes) -> Result<Inspection, Rejection> {
        Err(Rejection::Unavailable(no_sandbox_failure().to_string()))
    }

    async fn discard_code(&self, _: Digest) {}

    async fn validate(&self, _: TenantId, _: Digest, _: &str) -> Validation {
        Validation {
            outcome: Err(no_sandbox_failure()),
            cost: None,
        }
    }

    async fn wants(&self, _: TenantId, _: CallQuota, _: Digest, _: &str) -> Wants {
        Wants::Called(failed_call())
    }

    async fn plan(&self, _: TenantId, _: Digest, _: PlanInput) -> Call<Plan> {
        failed_call()
    }

    async fn assign(&self, _: TenantId, _: Digest, _: AssignInput) -> Call<Vec<u32>> {
        failed_call()
    }

    async fn decide(&self, _: TenantId, _: Digest, _: Observation) -> Call<Decision> {
        failed_call()
    }

    async fn check(&self, _: TenantId, _: Digest, _: CheckInput) -> Call<Vec<Compatibility>> {
        failed_call()
    }

    async fn evaluate(&self, _: TenantId, _: Digest, _: HealthInput) -> Call<HealthAnswer> {
        failed_call()
    }

    async fn replay(&self, _: TenantId, _: Digest, _: &[u8], _: Option<CallLimits>) -> Call<()> {
        failed_call()
    }

    fn contracts(&self) -> &'static [&'static str] {
        &[]
    }

    fn golden(&self, _: &[u8], _: Option<&[u8]>) -> Result<String, CallFailure> {
        Err(no_sandbox_failure())
    }

    fn record_json(&self, _: &[u8]) -> Result<String, CallFailure> {
        Err(no_sandbox_failure())
    }
}
