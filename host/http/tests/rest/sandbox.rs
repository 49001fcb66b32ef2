//! A sandbox without WebAssembly. A component is `plugin NAME KIND [VERSION]`; a config is valid unless it has the key `bad`, and
//! its key `canaries` is the number of waves of one device before the last wave; with `fails` a strategy cannot plan; with
//! `dynamic` its plan is. A strategy decides only if its config has the key `releases_all`, with which it releases all devices,
//! or `gate`: a name, and the wave behind it. It waits there until an operator advances the campaign, and then releases a
//! device of the first wave.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use tidegate_core::{
    id::{Digest, TenantId},
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, DecisionOutcome, Description,
        DeviceClass, FieldError, Gate, HealthAnswer, HealthInput, Interests, Members, Observation,
        Plan, PlanInput, PlannedWave, Release,
    },
};
use tidegate_engine::ports::{
    Call, CallFailure, CallLimits, CallQuota, CallRecord, Inspection, Record, Rejection, Sandbox,
    Validation, Wants,
};

#[derive(Default)]
pub(crate) struct ScriptedSandbox {
    /// How many inspections cannot be made.
    pub(crate) failing_inspections: AtomicU32,
    /// Too many components wait for their inspection.
    pub(crate) is_queue_full: AtomicBool,
    /// It speaks another version of the contract than that of its plugins.
    pub(crate) is_of_later_server: AtomicBool,
    /// It counts fuel by other costs than those by which it recorded its calls.
    pub(crate) has_other_fuel_costs: AtomicBool,
    /// It records no limits, as an earlier version of the server.
    pub(crate) records_no_limits: AtomicBool,
    /// Replays run out of fuel.
    pub(crate) is_out_of_fuel: AtomicBool,
    /// The components whose compiled code was deleted.
    pub(crate) discarded: Mutex<Vec<Digest>>,
}

#[async_trait]
impl Sandbox for ScriptedSandbox {
    async fn inspect(
        &self,
        _: Option<TenantId>,
        component: Bytes,
    ) -> Result<Inspection, Rejection> {
        if self.is_queue_full.load(Ordering::SeqCst) {
            return Err(Rejection::QueueFull(Duration::from_secs(20)));
        }
        let one_less = |left: u32| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if self
            .failing_inspections
            .fetch_update(order, order, one_less)
            .is_ok()
        {
            return Err(Rejection::Unavailable("out of processes".to_owned()));
        }
        let text = String::from_utf8_lossy(&component);
        let mut words = text.split(' ');
        let (Some("plugin"), Some(name), Some(kind)) = (
            words.next(),
            words.next(),
            words.next().and_then(|word| word.parse().ok()),
        ) else {
            return Err(Rejection::Invalid(
                "it is not a component: it has no header".to_owned(),
            ));
        };
        let description = Description {
            name: name.parse().expect("a name"),
            version: words.next().unwrap_or("1.0.0").to_owned(),
            summary: "scripted".to_owned(),
            config_schema: r#"{"type": "object"}"#.to_owned(),
            state_schema: 1,
        };
        let contract = "1.0.0".to_owned();
        Ok(Inspection {
            digest: Digest::of(&component),
            kind,
            contract,
            description,
        })
    }

    async fn discard_code(&self, component: Digest) {
        self.discarded.lock().expect("a lock").push(component);
    }

    async fn validate(&self, _: TenantId, _: Digest, config: &str) -> Validation {
        let is_bad = config.contains("\"bad\"");
        let error = FieldError {
            path: "/bad".to_owned(),
            message: "must not be there".to_owned(),
        };
        Validation {
            outcome: Ok(is_bad.then_some(error).into_iter().collect()),
            cost: Some((3, Duration::ZERO)),
        }
    }

    async fn wants(&self, _: TenantId, _: CallQuota, _: Digest, _: &str) -> Wants {
        Wants::Known(Interests::default())
    }

    async fn plan(&self, _: TenantId, _: Digest, input: PlanInput) -> Call<Plan> {
        let wave = |name: &str, members| PlannedWave {
            name: name.to_owned(),
            members,
        };
        let config: Value = serde_json::from_str(&input.config).unwrap_or_default();
        if config["fails"] == true {
            return call_result(Err(CallFailure::PluginError("no canaries".to_owned())));
        }
        let canaries = config["canaries"].as_u64().unwrap_or(1);
        let mut waves: Vec<_> = (0..canaries)
            .map(|_| wave("canary", Members::Count(1)))
            .collect();
        waves.push(wave("rest", Members::Rest));
        let mut call = call_result(Ok(Plan {
            waves,
            parallel: false,
            dynamic: config["dynamic"] == true,
        }));
        if self.records_no_limits.load(Ordering::SeqCst) {
            call.record.limits = None;
        }
        call
    }

    async fn assign(&self, _: TenantId, _: Digest, _: AssignInput) -> Call<Vec<u32>> {
        call_result(Err(unexpected_call()))
    }

    async fn decide(&self, _: TenantId, _: Digest, observation: Observation) -> Call<Decision> {
        call_result(decide(&observation).ok_or_else(unexpected_call))
    }

    async fn check(&self, _: TenantId, _: Digest, input: CheckInput) -> Call<Vec<Compatibility>> {
        let verdict = |class: &DeviceClass| match class.key.hardware_model.as_deref() {
            Some("toaster") => Compatibility::Incompatible("it is a toaster".to_owned()),
            _ => Compatibility::Compatible,
        };
        call_result(Ok(input.classes.iter().map(verdict).collect()))
    }

    async fn evaluate(&self, _: TenantId, _: Digest, _: HealthInput) -> Call<HealthAnswer> {
        call_result(Err(unexpected_call()))
    }

    async fn replay(&self, _: TenantId, _: Digest, _: &[u8], _: Option<CallLimits>) -> Call<()> {
        let mut call = call_result(Ok(()));
        if self.is_out_of_fuel.load(Ordering::SeqCst) {
            call.outcome = Err(CallFailure::OutOfFuel(50));
            call.record.output = Record::default();
        }
        if self.has_other_fuel_costs.load(Ordering::SeqCst)
            && let Some(limits) = &mut call.record.limits
        {
            limits.fuel_costs += 1;
        }
        call
    }

    fn contracts(&self) -> &'static [&'static str] {
        if self.is_of_later_server.load(Ordering::SeqCst) {
            &["2.0.0"]
        } else {
            &["1.0.0"]
        }
    }

    fn golden(&self, input: &[u8], output: Option<&[u8]>) -> Result<String, CallFailure> {
        let text = |record: &[u8]| String::from_utf8_lossy(record).into_owned();
        let golden = serde_json::json!({
            "call": "plan", "input": text(input), "expect": output.map(text),
        });
        Ok(golden.to_string())
    }

    fn record_json(&self, _: &[u8]) -> Result<String, CallFailure> {
        Ok(r#"{"waves": 2}"#.to_owned())
    }
}

/// The decision of a strategy with a gate.
fn decide(observation: &Observation) -> Option<Decision> {
    let config: Value = serde_json::from_str(&observation.config).ok()?;
    if config["releases_all"] == true {
        let waves = (0..).zip(&observation.waves);
        let releases = waves.map(|(wave, report)| Release {
            wave,
            devices: report.size,
        });
        return Some(Decision {
            releases: releases.collect(),
            outcome: DecisionOutcome::Proceed,
            wake_after: None,
            state: Vec::new(),
            explain: Vec::new(),
        });
    }
    let gate = &config["gate"];
    let name = gate["name"].as_str()?.to_owned();
    let mut acts = observation.operator.iter();
    let is_advanced = acts.any(|act| act.gate.as_ref() == Some(&name));
    let before = gate["before"].as_u64();
    let before = before.and_then(|wave| u32::try_from(wave).ok());
    let first = Release {
        wave: 0,
        devices: 1,
    };
    Some(Decision {
        releases: is_advanced.then_some(first).into_iter().collect(),
        outcome: if is_advanced {
            DecisionOutcome::Proceed
        } else {
            DecisionOutcome::AwaitOperator(Gate { name, before })
        },
        wake_after: None,
        state: Vec::new(),
        explain: vec!["scripted".to_owned()],
    })
}

fn unexpected_call() -> CallFailure {
    CallFailure::Host("not called in these tests".to_owned())
}

fn call_result<T>(outcome: Result<T, CallFailure>) -> Call<T> {
    Call {
        outcome,
        fuel: 7,
        peak_memory: 4096,
        duration: Duration::from_micros(3),
        log: vec!["noted".to_owned()],
        record: CallRecord {
            input: Record::whole(b"question".to_vec()),
            input_digest: Some(Digest::of(b"question")),
            output: Record::whole(b"answer".to_vec()),
            limits: Some(CallLimits {
                fuel: 50,
                fuel_costs: 2,
                memory_bytes: 65_536,
                answer_bytes: 1024,
            }),
        },
    }
}
