//! A plugin whose code is loaded: it can be called.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use tidegate_core::{id::Digest, plugin as core, plugin::Kind};
use tidegate_engine::ports::{Call, CallFailure, Record, Validation};
use wasmtime::{
    Store,
    component::{
        Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower,
    },
};

use crate::{
    failure::{Stage, classify, describe},
    guest::Guest,
    limits::{Budget, Limits},
    record, replay,
    schema::{ConfigSchema, parse_config},
    since_1_0::{self as contract, CALLS, CallName, Question},
    text::{REASON_BYTES, cut},
    ticker::ticks,
};

/// A plugin, ready to be called. Its calls block the thread; each has a store and an instance of its own.
#[derive(Clone)]
pub struct Plugin(Arc<Loaded>);

struct Loaded {
    digest: Digest,
    kind: Kind,
    limits: Limits,
    instance: InstancePre<Guest>,
    describe: ComponentExportIndex,
    validate: ComponentExportIndex,
    calls: Vec<(CallName, ComponentExportIndex)>,
    /// Read from the plugin's description when first needed.
    schema: OnceLock<Arc<ConfigSchema>>,
}

/// What came of running a guest.
pub(crate) struct Ran<T> {
    pub(crate) outcome: Result<T, CallFailure>,
    pub(crate) fuel: u64,
    pub(crate) peak_memory: u64,
    pub(crate) duration: Duration,
    pub(crate) log: Vec<String>,
}

impl Plugin {
    /// Finds what the world of this kind exports.
    pub(crate) fn load(
        digest: Digest,
        kind: Kind,
        limits: Limits,
        linker: &Linker<Guest>,
        component: &Component,
    ) -> Result<Self, CallFailure> {
        let link = |error: wasmtime::Error| CallFailure::Link(describe(&error));
        let instance = linker.instantiate_pre(component).map_err(link)?;
        let find = |interface: &'static str, function: &'static str| {
            let interface_index = component.get_export_index(None, interface);
            interface_index
                .and_then(|interface| component.get_export_index(Some(&interface), function))
                .ok_or_else(|| CallFailure::Link(format!("`{interface}` has no `{function}`")))
        };
        let calls = CALLS
            .into_iter()
            .filter(|call| call.kind() == kind)
            .map(|call| Ok((call, find(contract::interface(kind), call.as_str())?)))
            .collect::<Result<_, CallFailure>>()?;
        Ok(Self(Arc::new(Loaded {
            digest,
            kind,
            limits,
            describe: find(contract::META, "describe")?,
            validate: find(contract::META, "validate")?,
            calls,
            instance,
            schema: OnceLock::new(),
        })))
    }

    /// sha256 of its component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The world that it exports.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// A strategy's `plan`.
    pub fn plan(&self, input: core::PlanInput) -> Call<core::Plan> {
        map(self.ask(&contract::PlanInput::from(input)), Into::into)
    }

    /// A strategy's `assign`.
    pub fn assign(&self, input: core::AssignInput) -> Call<Vec<u16>> {
        self.ask(&contract::AssignInput::from(input))
    }

    /// A strategy's `decide`.
    pub fn decide(&self, observation: core::Observation) -> Call<core::Decision> {
        map(
            self.ask(&contract::Observation::from(observation)),
            Into::into,
        )
    }

    /// A compatibility policy's `check`.
    pub fn check(&self, input: core::CheckInput) -> Call<Vec<core::Compatibility>> {
        map(self.ask(&contract::CheckInput::from(input)), |verdicts| {
            verdicts.into_iter().map(Into::into).collect()
        })
    }

    /// A health policy's `evaluate`.
    pub fn evaluate(&self, input: core::HealthInput) -> Call<core::HealthAnswer> {
        map(self.ask(&contract::HealthInput::from(input)), Into::into)
    }

    /// Asks a recorded question again.
    pub fn replay(&self, question: &[u8]) -> Call<()> {
        replay::replay(self, question)
    }

    /// What it says of itself.
    pub fn describe(&self) -> Result<core::Description, CallFailure> {
        let ran: Ran<(contract::meta::Description,)> =
            self.run(&self.0.describe, (), &self.0.limits.call());
        Ok(ran.outcome?.0.into())
    }

    /// Checks a config by its schema and, when that finds nothing, by the plugin itself.
    pub fn validate(&self, config: &str) -> Validation {
        match self.schema_errors(config) {
            Ok(errors) if errors.is_empty() => self.validate_itself(config),
            outcome => Validation {
                outcome,
                asked: None,
            },
        }
    }

    fn schema_errors(&self, config: &str) -> Result<Vec<core::FieldError>, CallFailure> {
        Ok(match parse_config(config) {
            Ok(parsed) => self.schema()?.check(&parsed),
            Err(error) => vec![error],
        })
    }

    /// The plugin's own `validate`, which may count on a config that its schema takes.
    pub fn validate_itself(&self, config: &str) -> Validation {
        let ran: Ran<(Vec<contract::meta::FieldError>,)> =
            self.run(&self.0.validate, (config,), &self.0.limits.call());
        let errors = ran
            .outcome
            .map(|(errors,)| errors.into_iter().map(Into::into).collect());
        Validation {
            outcome: errors,
            asked: Some((ran.fuel, ran.duration)),
        }
    }

    /// The schema of its config.
    pub(crate) fn schema(&self) -> Result<Arc<ConfigSchema>, CallFailure> {
        if let Some(schema) = self.0.schema.get() {
            return Ok(Arc::clone(schema));
        }
        let read = ConfigSchema::read(&self.describe()?.config_schema)
            .map_err(|error| CallFailure::InvalidAnswer(format!("its config schema: {error}")))?;
        Ok(Arc::clone(self.0.schema.get_or_init(|| Arc::new(read))))
    }

    /// Asks, and records question and answer.
    pub(crate) fn ask<Q: Question>(&self, question: &Q) -> Call<Q::Answer> {
        match question.record() {
            Ok(json) => {
                let record = Record {
                    question: record::compress(&json),
                    question_digest: Some(Digest::of(&json)),
                    answer: Vec::new(),
                };
                self.ask_recorded(question, record)
            }
            Err(error) => failed(CallFailure::Host(format!("record the question: {error}"))),
        }
    }

    /// Asks what stands in this record, and puts the answer beside it.
    pub(crate) fn ask_recorded<Q: Question>(
        &self,
        question: &Q,
        mut record: Record,
    ) -> Call<Q::Answer> {
        let budget = question.budget(&self.0.limits);
        let Some((_, function)) = self.0.calls.iter().find(|(call, _)| *call == Q::CALL) else {
            let (kind, call) = (self.0.kind.as_str(), Q::CALL.as_str());
            return failed(CallFailure::Link(format!(
                "a {kind} plugin has no `{call}`"
            )));
        };
        let ran: Ran<(Result<Q::Answer, String>,)> = self.run(function, (question,), &budget);
        let outcome = ran.outcome.and_then(|(answer,)| {
            let answer = answer.map_err(|text| cut(&text, REASON_BYTES).to_owned());
            record.answer = question
                .record_answer(answer.as_ref().map_err(String::as_str))
                .map(|json| record::compress(&json))
                .map_err(|error| CallFailure::Host(format!("record the answer: {error}")))?;
            let answer = answer.map_err(CallFailure::PluginError)?;
            question
                .check(&answer)
                .map_err(CallFailure::InvalidAnswer)?;
            Ok(answer)
        });
        Call {
            outcome,
            fuel: ran.fuel,
            peak_memory: ran.peak_memory,
            duration: ran.duration,
            log: ran.log,
            record,
        }
    }

    /// Makes an instance and checks the types of all that its world exports, which only an instance can tell.
    pub(crate) fn try_linking(&self) -> Result<(), CallFailure> {
        let budget = self.0.limits.call();
        self.linked::<(), (contract::meta::Description,)>(&self.0.describe, &budget)?;
        self.linked::<(&str,), (Vec<contract::meta::FieldError>,)>(&self.0.validate, &budget)?;
        self.0
            .calls
            .iter()
            .try_for_each(|(call, function)| match call {
                CallName::Plan => self.question_linked::<contract::PlanInput>(function),
                CallName::Assign => self.question_linked::<contract::AssignInput>(function),
                CallName::Decide => self.question_linked::<contract::Observation>(function),
                CallName::Check => self.question_linked::<contract::CheckInput>(function),
                CallName::Evaluate => self.question_linked::<contract::HealthInput>(function),
            })
    }

    fn question_linked<Q: Question>(
        &self,
        function: &ComponentExportIndex,
    ) -> Result<(), CallFailure> {
        self.linked::<(&Q,), (Result<Q::Answer, String>,)>(function, &self.0.limits.call())
    }

    fn linked<P, R>(
        &self,
        function: &ComponentExportIndex,
        budget: &Budget,
    ) -> Result<(), CallFailure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let mut store = self.store(budget);
        self.enter::<P, R>(&mut store, function, budget)
            .map(drop)
            .map_err(|error| classify(&error, Stage::Linking, store.data(), budget))
    }

    fn run<P, R>(&self, function: &ComponentExportIndex, params: P, budget: &Budget) -> Ran<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let started = Instant::now();
        let mut store = self.store(budget);
        let mut stage = Stage::Linking;
        let outcome = self
            .enter::<P, R>(&mut store, function, budget)
            .and_then(|function| {
                stage = Stage::Calling;
                function.call(&mut store, params)
            })
            .map_err(|error| classify(&error, stage, store.data(), budget));
        let left = store.get_fuel().unwrap_or(0);
        let guest = store.into_data();
        Ran {
            outcome,
            fuel: budget.fuel.saturating_sub(left),
            peak_memory: guest.memory.peak,
            duration: started.elapsed(),
            log: guest.log.lines,
        }
    }

    /// A store under the budget. The deadline runs from here: a start function can loop.
    fn store(&self, budget: &Budget) -> Store<Guest> {
        let mut store = Store::new(self.0.instance.engine(), Guest::new(budget.memory_bytes));
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(ticks(budget.deadline));
        store.set_hostcall_fuel(usize::try_from(budget.answer_bytes).unwrap_or(usize::MAX));
        store
    }

    /// Makes an instance and finds the function in it. What making it burns depends on how memory is initialised, so
    /// the call starts with a full budget again.
    fn enter<P, R>(
        &self,
        store: &mut Store<Guest>,
        function: &ComponentExportIndex,
        budget: &Budget,
    ) -> wasmtime::Result<wasmtime::component::TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        store.set_fuel(budget.fuel)?;
        let instance = self.0.instance.instantiate(&mut *store)?;
        store.set_fuel(budget.fuel)?;
        instance.get_typed_func(store, function)
    }
}

/// A call that did not come to pass.
pub(crate) fn failed<T>(failure: CallFailure) -> Call<T> {
    Call {
        outcome: Err(failure),
        fuel: 0,
        peak_memory: 0,
        duration: Duration::ZERO,
        log: Vec::new(),
        record: Record::default(),
    }
}

/// The same call with its answer in other words.
pub(crate) fn map<T, U>(call: Call<T>, into: impl FnOnce(T) -> U) -> Call<U> {
    Call {
        outcome: call.outcome.map(into),
        fuel: call.fuel,
        peak_memory: call.peak_memory,
        duration: call.duration,
        log: call.log,
        record: call.record,
    }
}
