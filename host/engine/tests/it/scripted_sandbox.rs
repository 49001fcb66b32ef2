//! A sandbox without plugins: tests script the result of each call.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, DecisionOutcome, Gate, HealthAnswer,
        HealthInput, HealthVerdict, Interests, Observation, Plan, PlanInput, Release,
    },
};
use tidegate_engine::ports::{
    Call, CallFailure, CallLimits, CallQuota, CallRecord, Inspection, Record, Rejection, Sandbox,
    Validation, Wants,
};
use tokio::sync::Semaphore;

/// The limits under which all calls are recorded.
pub(crate) const CALL_LIMITS: CallLimits = CallLimits {
    fuel: 9000,
    fuel_costs: 1,
    memory_bytes: 64 << 10,
    answer_bytes: 512,
};

type Hook = Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>;
type Response<Q, A> = Box<dyn FnMut(&Q) -> Result<A, CallFailure> + Send>;

/// The result of each call. Tests replace those they need.
pub(crate) struct ScriptedSandbox {
    pub(crate) plan: Mutex<Response<PlanInput, Plan>>,
    pub(crate) assign: Mutex<Response<AssignInput, Vec<u32>>>,
    pub(crate) decide: Mutex<Response<Observation, Decision>>,
    pub(crate) check: Mutex<Response<CheckInput, Vec<Compatibility>>>,
    pub(crate) evaluate: Mutex<Response<HealthInput, HealthAnswer>>,
    /// While a test holds it, no decision ends.
    pub(crate) decision_gate: tokio::sync::Mutex<()>,
    /// Each decision of this plugin of this tenant takes a permit.
    pub(crate) slow_decisions: Mutex<Option<(TenantId, Digest, Arc<Semaphore>)>>,
    /// How many of them have begun.
    pub(crate) slow_decisions_begun: AtomicUsize,
    /// Each check takes a permit; `None`: none needs one.
    pub(crate) check_permits: Mutex<Option<Arc<Semaphore>>>,
    /// Each check of this tenant takes a permit.
    pub(crate) slow_checks: Mutex<Option<(TenantId, Arc<Semaphore>)>>,
    /// Runs before the next validation of a config.
    pub(crate) before_validation: Mutex<Option<Hook>>,
    /// The versions of the contract that it speaks.
    pub(crate) contracts: Mutex<&'static [&'static str]>,
    /// What plugins want, by digest.
    pub(crate) interests: Mutex<HashMap<Digest, Interests>>,
    /// Whether plugins are called for what they want; otherwise it is known already.
    pub(crate) calls_wants: AtomicBool,
    /// Why `wants` fails.
    pub(crate) wants_failure: Mutex<Option<CallFailure>>,
    /// The quotas of the calls of `wants`.
    pub(crate) wants_quotas: Mutex<Vec<CallQuota>>,
    /// The revisions whose calls were replayed.
    pub(crate) replayed: Mutex<Vec<Digest>>,
    /// The output of a replay, its fuel and the version of its costs.
    pub(crate) replay: Mutex<(Vec<u8>, u64, u32)>,
    /// The limits under which calls were replayed.
    pub(crate) replay_limits: Mutex<Vec<Option<CallLimits>>>,
    /// Why a replay fails; it has no output then.
    pub(crate) replay_failure: Mutex<Option<CallFailure>>,
}

impl ScriptedSandbox {
    pub(crate) fn new(plan: Plan) -> Self {
        Self {
            plan: Mutex::new(Box::new(move |_| Ok(plan.clone()))),
            assign: Mutex::new(Box::new(|input| Ok(vec![0; input.class.len()]))),
            decide: Mutex::new(Box::new(|_| Ok(decision(&[], DecisionOutcome::Proceed)))),
            check: Mutex::new(Box::new(|input| {
                Ok(vec![Compatibility::Compatible; input.classes.len()])
            })),
            evaluate: Mutex::new(Box::new(|_| Ok(health(HealthVerdict::Healthy)))),
            decision_gate: tokio::sync::Mutex::default(),
            slow_decisions: Mutex::default(),
            slow_decisions_begun: AtomicUsize::default(),
            check_permits: Mutex::default(),
            slow_checks: Mutex::default(),
            before_validation: Mutex::default(),
            contracts: Mutex::new(&["1.0.0"]),
            interests: Mutex::default(),
            calls_wants: AtomicBool::default(),
            wants_failure: Mutex::default(),
            wants_quotas: Mutex::default(),
            replayed: Mutex::default(),
            replay: Mutex::new((b"()".to_vec(), 1000, 1)),
            replay_limits: Mutex::default(),
            replay_failure: Mutex::default(),
        }
    }

    pub(crate) fn assigns(
        &self,
        respond: impl FnMut(&AssignInput) -> Result<Vec<u32>, CallFailure> + Send + 'static,
    ) {
        *self.assign.lock() = Box::new(respond);
    }

    pub(crate) fn decides(
        &self,
        respond: impl FnMut(&Observation) -> Result<Decision, CallFailure> + Send + 'static,
    ) {
        *self.decide.lock() = Box::new(respond);
    }

    pub(crate) fn evaluates(
        &self,
        respond: impl FnMut(&HealthInput) -> Result<HealthAnswer, CallFailure> + Send + 'static,
    ) {
        *self.evaluate.lock() = Box::new(respond);
    }

    pub(crate) fn checks(
        &self,
        respond: impl FnMut(&CheckInput) -> Result<Vec<Compatibility>, CallFailure> + Send + 'static,
    ) {
        *self.check.lock() = Box::new(respond);
    }

    /// What the plugin with this digest wants, whatever its config is.
    pub(crate) fn wants(&self, plugin: Digest, interests: Interests) {
        self.interests.lock().insert(plugin, interests);
    }
}

pub(crate) fn decision(releases: &[(u32, u64)], outcome: DecisionOutcome) -> Decision {
    let releases = releases.iter().map(|(wave, devices)| Release {
        wave: *wave,
        devices: *devices,
    });
    Decision {
        releases: releases.collect(),
        outcome,
        wake_after: None,
        state: Vec::new(),
        explain: vec!["scripted".to_owned()],
    }
}

/// Waits at a gate for an operator.
pub(crate) fn await_operator(gate: &str, before: Option<u32>) -> DecisionOutcome {
    DecisionOutcome::AwaitOperator(Gate {
        name: gate.to_owned(),
        before,
    })
}

pub(crate) fn health(verdict: HealthVerdict) -> HealthAnswer {
    HealthAnswer {
        verdict,
        confidence: 10_000,
        state: Vec::new(),
        explain: Vec::new(),
    }
}

fn call<Q: std::fmt::Debug, A: std::fmt::Debug>(
    respond: &Mutex<Response<Q, A>>,
    input: &Q,
) -> Call<A> {
    let outcome = (respond.lock())(input);
    let record = CallRecord {
        input: Record::whole(format!("{input:?}").into_bytes()),
        input_digest: Some(Digest::of(format!("{input:?}").as_bytes())),
        output: outcome.as_ref().map_or(Record::default(), |respond| {
            Record::whole(format!("{respond:?}").into_bytes())
        }),
        limits: Some(CALL_LIMITS),
    };
    Call {
        outcome,
        fuel: 1000,
        peak_memory: 0,
        duration: Duration::ZERO,
        log: Vec::new(),
        record,
    }
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    async fn inspect(&self, _: Option<TenantId>, _: Bytes) -> Result<Inspection, Rejection> {
        Err(Rejection::Invalid(
            "these tests upload no plugins".to_owned(),
        ))
    }

    async fn discard_code(&self, _: Digest) {}

    async fn validate(&self, _: TenantId, _: Digest, _: &str) -> Validation {
        let hook = self.before_validation.lock().take();
        if let Some(hook) = hook {
            hook().await;
        }
        Validation {
            outcome: Ok(Vec::new()),
            cost: Some((7, Duration::ZERO)),
        }
    }

    async fn wants(&self, _: TenantId, quota: CallQuota, plugin: Digest, _: &str) -> Wants {
        let interests = self.interests.lock().get(&plugin).cloned();
        let interests = interests.unwrap_or_default();
        if !self.calls_wants.load(Ordering::SeqCst) {
            return Wants::Known(interests);
        }
        self.wants_quotas.lock().push(quota);
        let failure = self.wants_failure.lock().clone();
        let outcome = failure.map_or(Ok(interests), Err);
        let respond = move |_: &Digest| outcome.clone();
        Wants::Called(call(&Mutex::new(Box::new(respond)), &plugin))
    }

    async fn plan(&self, _: TenantId, _: Digest, input: PlanInput) -> Call<Plan> {
        call(&self.plan, &input)
    }

    async fn assign(&self, _: TenantId, _: Digest, input: AssignInput) -> Call<Vec<u32>> {
        call(&self.assign, &input)
    }

    async fn decide(
        &self,
        tenant: TenantId,
        plugin: Digest,
        observation: Observation,
    ) -> Call<Decision> {
        drop(self.decision_gate.lock().await);
        let slow = self.slow_decisions.lock().clone();
        let slow = slow.filter(|(slow, revision, _)| (*slow, *revision) == (tenant, plugin));
        if let Some((_, _, permits)) = slow {
            self.slow_decisions_begun.fetch_add(1, Ordering::SeqCst);
            permits.acquire().await.expect("never closed").forget();
        }
        call(&self.decide, &observation)
    }

    async fn check(
        &self,
        tenant: TenantId,
        _: Digest,
        input: CheckInput,
    ) -> Call<Vec<Compatibility>> {
        let slow = self.slow_checks.lock().clone();
        let of_tenant = slow.filter(|(slow, _)| *slow == tenant);
        let permits = of_tenant.map(|(_, permits)| permits);
        let permits = permits.or_else(|| self.check_permits.lock().clone());
        if let Some(permits) = permits {
            permits.acquire().await.expect("never closed").forget();
        }
        call(&self.check, &input)
    }

    async fn evaluate(&self, _: TenantId, _: Digest, input: HealthInput) -> Call<HealthAnswer> {
        call(&self.evaluate, &input)
    }

    async fn replay(
        &self,
        _: TenantId,
        revision: Digest,
        input: &[u8],
        limits: Option<CallLimits>,
    ) -> Call<()> {
        self.replayed.lock().push(revision);
        self.replay_limits.lock().push(limits);
        let (output, fuel, fuel_costs) = self.replay.lock().clone();
        let failure = self.replay_failure.lock().clone();
        let output = if failure.is_some() {
            Vec::new()
        } else {
            output
        };
        let outcome = failure.map_or(Ok(()), Err);
        let respond = move |_: &Vec<u8>| outcome.clone();
        let call = call(&Mutex::new(Box::new(respond)), &input.to_vec());
        let record = CallRecord {
            output: Record::whole(output),
            limits: Some(CallLimits {
                fuel_costs,
                ..CALL_LIMITS
            }),
            ..call.record
        };
        Call {
            fuel,
            record,
            ..call
        }
    }

    fn contracts(&self) -> &'static [&'static str] {
        *self.contracts.lock()
    }

    fn golden(&self, input: &[u8], output: Option<&[u8]>) -> Result<String, CallFailure> {
        let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
        Ok(format!("{} -> {:?}", text(input), output.map(text)))
    }

    fn record_json(&self, record: &[u8]) -> Result<String, CallFailure> {
        Ok(format!("{:?}", String::from_utf8_lossy(record)))
    }
}
