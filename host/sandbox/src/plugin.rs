//! Plugins whose code is loaded.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use strum::VariantArray;
use tidegate_core::{
    Named as _, id::Digest, plugin as core, plugin::PluginKind, visible_text::visible,
};
use tidegate_engine::ports::{Call, CallFailure, CallRecord, Validation};
use wasmtime::{
    Store,
    component::{
        Component, ComponentExportIndex, ComponentNamedList, ComponentType, InstancePre, Lift,
        Linker, Lower,
    },
};

use crate::{
    engine::FUEL_COSTS,
    failure::{CallStage, classify, describe},
    guest::Guest,
    limits::{Budget, SandboxLimits},
    limits::{MAX_REASON_BYTES, truncate},
    record,
    since_1_0::{self as contract, CallInput, CallName, meta},
    ticker::ticks,
};

/// A loaded plugin. Its calls block the thread; each has its own store and instance.
#[derive(Clone)]
pub struct Plugin(Arc<PluginInner>);

struct PluginInner {
    digest: Digest,
    kind: PluginKind,
    limits: SandboxLimits,
    instance: InstancePre<Guest>,
    describe: ComponentExportIndex,
    validate: ComponentExportIndex,
    wants: ComponentExportIndex,
    calls: Vec<(CallName, ComponentExportIndex)>,
    /// The text of its config schema, read from the plugin's description on first use.
    schema: OnceLock<Arc<str>>,
}

/// The result of running a guest function, and its cost.
pub(crate) struct RunResult<T> {
    pub(crate) outcome: Result<T, CallFailure>,
    /// The whole budget for an interrupted call, which used an unknown part of it.
    pub(crate) fuel: u64,
    pub(crate) peak_memory: u64,
    pub(crate) duration: Duration,
    pub(crate) log: Vec<String>,
}

impl<T> RunResult<T> {
    /// A call that failed before it ran.
    fn failed(failure: CallFailure) -> Self {
        Self {
            outcome: Err(failure),
            fuel: 0,
            peak_memory: 0,
            duration: Duration::ZERO,
            log: Vec::new(),
        }
    }

    /// Checks or converts the output. The cost and the log stay.
    pub(crate) fn and_then<U>(
        self,
        check: impl FnOnce(T) -> Result<U, CallFailure>,
    ) -> RunResult<U> {
        RunResult {
            outcome: self.outcome.and_then(check),
            fuel: self.fuel,
            peak_memory: self.peak_memory,
            duration: self.duration,
            log: self.log,
        }
    }
}

impl Plugin {
    /// Links a component and finds the exports of its world.
    pub(crate) fn load(
        digest: Digest,
        kind: PluginKind,
        limits: SandboxLimits,
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
        let calls = <CallName as VariantArray>::VARIANTS
            .iter()
            .copied()
            .filter(|call| call.kind() == kind)
            .map(|call| (call, find(call.interface(), call.as_str())))
            .filter(|(call, found)| found.is_ok() || !call.is_optional())
            .map(|(call, found)| Ok((call, found?)))
            .collect::<Result<_, CallFailure>>()?;
        Ok(Self(Arc::new(PluginInner {
            digest,
            kind,
            limits,
            describe: find(contract::META, "describe")?,
            validate: find(contract::META, "validate")?,
            wants: find(contract::META, "wants")?,
            calls,
            instance,
            schema: OnceLock::new(),
        })))
    }

    /// SHA-256 digest of its component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The kind of its world.
    pub fn kind(&self) -> PluginKind {
        self.0.kind
    }

    /// Calls a strategy's `plan`.
    pub fn plan(&self, input: core::PlanInput) -> Call<core::Plan> {
        self.call(&contract::PlanInput::from(input))
    }

    /// Calls a strategy's `assign`.
    pub fn assign(&self, input: core::AssignInput) -> Call<Vec<u32>> {
        self.call(&contract::AssignInput::from(input))
    }

    /// Calls a strategy's `decide`.
    pub fn decide(&self, observation: core::Observation) -> Call<core::Decision> {
        self.call(&contract::Observation::from(observation))
    }

    /// Calls a compatibility policy's `check`.
    pub fn check(&self, input: core::CheckInput) -> Call<Vec<core::Compatibility>> {
        self.call(&contract::CheckInput::from(input))
    }

    /// Calls a health policy's `evaluate`.
    pub fn evaluate(&self, input: core::HealthInput) -> Call<core::HealthAnswer> {
        self.call(&contract::HealthInput::from(input))
    }

    /// Calls the plugin's `describe`.
    pub fn describe(&self) -> Result<core::Description, CallFailure> {
        let description = self.run_describe().outcome?;
        let description = description.map_err(|text| plugin_error(&text))?;
        description.try_into().map_err(CallFailure::InvalidAnswer)
    }

    /// Calls the plugin's `validate`, which may rely on the config being valid by its schema.
    pub fn validate(&self, config: &str) -> Validation {
        let run = self.run_validate(config);
        let outcome = run.outcome.and_then(|errors| {
            let errors = errors.map_err(|text| plugin_error(&text))?;
            Ok(errors.into_iter().map(Into::into).collect())
        });
        Validation {
            outcome,
            cost: Some((run.fuel, run.duration)),
        }
    }

    /// Calls the plugin's `wants`.
    pub fn wants(&self, config: &str) -> Result<core::Interests, CallFailure> {
        let wants = self.run_wants(config).outcome?;
        Ok(wants.map_err(|text| plugin_error(&text))?.into())
    }

    /// Runs `describe`. As in all outputs, the inner error is the plugin's own.
    pub(crate) fn run_describe(&self) -> RunResult<Result<meta::Description, String>> {
        self.run_meta(&self.0.describe, (), contract::check_description)
    }

    /// Runs `validate`.
    pub(crate) fn run_validate(
        &self,
        config: &str,
    ) -> RunResult<Result<Vec<meta::FieldError>, String>> {
        let check = |errors: &Vec<_>| contract::check_field_errors(errors);
        self.run_meta(&self.0.validate, (config,), check)
    }

    /// Runs `wants`.
    pub(crate) fn run_wants(&self, config: &str) -> RunResult<Result<meta::Interests, String>> {
        self.run_meta(&self.0.wants, (config,), contract::check_wants)
    }

    /// Runs a function that every plugin has, and checks its output.
    fn run_meta<P, T>(
        &self,
        function: &ComponentExportIndex,
        params: P,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> RunResult<Result<T, String>>
    where
        P: ComponentNamedList + Lower,
        T: ComponentType + Lift + 'static,
    {
        let run: RunResult<(Result<T, String>,)> =
            self.run(function, params, &self.0.limits.call_budget());
        run.and_then(|(output,)| {
            if let Ok(output) = &output {
                check(output).map_err(CallFailure::InvalidAnswer)?;
            }
            Ok(output.map_err(truncated_reason))
        })
    }

    /// The text of the schema of its config, if it is known already.
    pub(crate) fn known_schema(&self) -> Option<Arc<str>> {
        self.0.schema.get().map(Arc::clone)
    }

    /// The text of the schema of its config. Calls the plugin's `describe` if it is not known already.
    pub(crate) fn schema(&self) -> Result<Arc<str>, CallFailure> {
        if let Some(schema) = self.known_schema() {
            return Ok(schema);
        }
        let schema = Arc::from(self.describe()?.config_schema);
        Ok(Arc::clone(self.0.schema.get_or_init(|| schema)))
    }

    /// Calls the plugin, and records input and output.
    pub(crate) fn call<I: CallInput>(&self, input: &I) -> Call<I::Answer> {
        match input.record() {
            Ok(json) => {
                let record = CallRecord {
                    input: record::compress(&json),
                    input_digest: Some(Digest::of(&json)),
                    output: Vec::new(),
                    fuel_costs: FUEL_COSTS,
                    limits: None,
                };
                self.call_recorded(input, record)
            }
            Err(error) => Call::failed(CallFailure::Host(format!("write the input: {error}"))),
        }
    }

    /// Calls the plugin with an input that is already recorded, under the limits of the record or, without them, under
    /// today's. Adds the limits and the output to the record.
    pub(crate) fn call_recorded<I: CallInput>(
        &self,
        input: &I,
        mut record: CallRecord,
    ) -> Call<I::Answer> {
        let today = input.budget(&self.0.limits);
        let recorded = record.limits;
        let budget = recorded.map_or(today, |recorded| today.with_call_limits(recorded));
        record.limits = Some(budget.call_limits());
        let run = self.run_input(input, &budget);
        let outcome = run.outcome.and_then(|output| {
            record.output = input
                .record_output(output.as_ref().map_err(String::as_str))
                .map(|json| record::compress(&json))
                .map_err(|error| CallFailure::Host(format!("record the output: {error}")))?;
            let output = output.map_err(|text| plugin_error(&text))?;
            input.accept(output).map_err(CallFailure::InvalidAnswer)
        });
        Call {
            outcome,
            fuel: run.fuel,
            peak_memory: run.peak_memory,
            duration: run.duration,
            log: run.log,
            record,
        }
    }

    /// Runs the call of an input. Its output is not checked yet.
    pub(crate) fn run_input<I: CallInput>(
        &self,
        input: &I,
        budget: &Budget,
    ) -> RunResult<Result<I::Output, String>> {
        let Some((_, function)) = self.0.calls.iter().find(|(call, _)| *call == I::CALL) else {
            let (call, interface) = (I::CALL.as_str(), I::CALL.interface());
            return RunResult::failed(CallFailure::Link(format!(
                "it has no `{call}`: it does not export `{interface}`"
            )));
        };
        let run: RunResult<(Result<I::Output, String>,)> = self.run(function, (input,), budget);
        run.and_then(|(output,)| Ok(output.map_err(truncated_reason)))
    }

    /// The calls of its world that it exports.
    pub(crate) fn exported_calls(&self) -> impl Iterator<Item = CallName> {
        self.0.calls.iter().map(|(call, _)| *call)
    }

    /// The limits of its calls.
    pub(crate) fn limits(&self) -> &SandboxLimits {
        &self.0.limits
    }

    /// Creates an instance and checks the types of its world's exports, which only an instance reveals.
    pub(crate) fn check_types(&self) -> Result<(), CallFailure> {
        let budget = self.0.limits.call_budget();
        self.check_function::<(), (Result<meta::Description, String>,)>(&self.0.describe, &budget)?;
        self.check_function::<(&str,), (Result<Vec<meta::FieldError>, String>,)>(
            &self.0.validate,
            &budget,
        )?;
        self.check_function::<(&str,), (Result<meta::Interests, String>,)>(&self.0.wants, &budget)?;
        self.0
            .calls
            .iter()
            .try_for_each(|(call, function)| match call {
                CallName::Plan => self.check_call_types::<contract::PlanInput>(function),
                CallName::Assign => self.check_call_types::<contract::AssignInput>(function),
                CallName::Decide => self.check_call_types::<contract::Observation>(function),
                CallName::Check => self.check_call_types::<contract::CheckInput>(function),
                CallName::Evaluate => self.check_call_types::<contract::HealthInput>(function),
            })
    }

    fn check_call_types<I: CallInput>(
        &self,
        function: &ComponentExportIndex,
    ) -> Result<(), CallFailure> {
        self.check_function::<(&I,), (Result<I::Output, String>,)>(
            function,
            &self.0.limits.call_budget(),
        )
    }

    fn check_function<P, R>(
        &self,
        function: &ComponentExportIndex,
        budget: &Budget,
    ) -> Result<(), CallFailure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let mut store = self.store(budget);
        self.instantiate::<P, R>(&mut store, function, budget)
            .map(drop)
            .map_err(|error| classify(&error, CallStage::Linking, store.data(), budget))
    }

    fn run<P, R>(&self, function: &ComponentExportIndex, params: P, budget: &Budget) -> RunResult<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let started = Instant::now();
        let mut store = self.store(budget);
        let mut stage = CallStage::Linking;
        let outcome = self
            .instantiate::<P, R>(&mut store, function, budget)
            .and_then(|function| {
                stage = CallStage::Calling;
                function.call(&mut store, params)
            })
            .map_err(|error| classify(&error, stage, store.data(), budget));
        // A running function keeps its fuel in a register, which an interruption loses.
        let remaining = match outcome {
            Err(CallFailure::Deadline(_)) => 0,
            _ => store.get_fuel().unwrap_or(0),
        };
        let guest = store.into_data();
        RunResult {
            outcome,
            fuel: budget.fuel.saturating_sub(remaining),
            peak_memory: guest.memory.peak,
            duration: started.elapsed(),
            log: guest.log.lines,
        }
    }

    /// A store with the budget's limits. The deadline starts here, since a start function can loop.
    fn store(&self, budget: &Budget) -> Store<Guest> {
        let mut store = Store::new(self.0.instance.engine(), Guest::new(budget.memory_bytes));
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(ticks(budget.deadline));
        store.set_hostcall_fuel(usize::try_from(budget.answer_bytes).unwrap_or(usize::MAX));
        store
    }

    /// Creates an instance and looks up a function. The fuel of instantiation depends on how memory is initialized, so
    /// the fuel is reset before the call.
    fn instantiate<P, R>(
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

/// The plugin's own error, as it is recorded.
fn truncated_reason(mut text: String) -> String {
    text.truncate(truncate(&text, MAX_REASON_BYTES).len());
    text
}

/// The plugin's own error, as it is shown.
pub(crate) fn plugin_error(text: &str) -> CallFailure {
    CallFailure::PluginError(visible(truncate(text, MAX_REASON_BYTES)).into_owned())
}
