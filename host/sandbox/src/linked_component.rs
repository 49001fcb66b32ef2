//! Components that are linked, and how their functions are run.

use std::time::Instant;

use strum::VariantArray;
use tidegate_core::{Named as _, plugin::PluginKind};
use tidegate_engine::ports::{Call, CallFailure, CallRecord};
use wasmtime::{
    Store,
    component::{
        Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower,
        TypedFunc,
    },
};

use crate::{
    call_clock::CallClock,
    failure::{CallStage, classify, describe},
    guest::Guest,
    limits::{Budget, SandboxLimits},
    names::{CallName, ContractNames},
};

/// A component whose imports are linked and whose exports are found. Its calls block the thread; each has its own store
/// and instance.
pub(crate) struct LinkedComponent {
    names: &'static ContractNames,
    limits: SandboxLimits,
    instance: InstancePre<Guest>,
    functions: Vec<(CallName, ComponentExportIndex)>,
}

impl LinkedComponent {
    /// Links a component and finds the exports of its world.
    pub(crate) fn link(
        names: &'static ContractNames,
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
        let functions = <CallName as VariantArray>::VARIANTS
            .iter()
            .copied()
            .filter(|call| call.kind().is_none_or(|of| of == kind))
            .map(|call| (call, find(names.interface(call), call.as_str())))
            .filter(|(call, found)| found.is_ok() || !call.is_optional())
            .map(|(call, found)| Ok((call, found?)))
            .collect::<Result<_, CallFailure>>()?;
        Ok(Self {
            names,
            limits,
            instance,
            functions,
        })
    }

    /// The names of the version of the contract that it is built for.
    pub(crate) fn names(&self) -> &'static ContractNames {
        self.names
    }

    /// The limits of its calls.
    pub(crate) fn limits(&self) -> &SandboxLimits {
        &self.limits
    }

    /// The calls that it exports.
    pub(crate) fn calls(&self) -> impl Iterator<Item = CallName> {
        self.functions.iter().map(|(call, _)| *call)
    }

    /// Runs the function of a call. The result has no record.
    pub(crate) fn run<P, R>(&self, call: CallName, params: P, budget: &Budget) -> Call<R>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + 'static,
    {
        let function = match self.function(call) {
            Ok(function) => function,
            Err(failure) => return Call::failed(failure),
        };
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
        Call {
            outcome,
            fuel: budget.fuel.saturating_sub(remaining),
            peak_memory: guest.memory.peak,
            duration: started.elapsed(),
            log: guest.log.lines,
            record: CallRecord::default(),
        }
    }

    /// Creates an instance and checks the types of a call, which only an instance reveals.
    pub(crate) fn check_types<P, R>(&self, call: CallName) -> Result<(), CallFailure>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        let function = self.function(call)?;
        let budget = self.limits.call_budget();
        let mut store = self.store(&budget);
        self.instantiate::<P, R>(&mut store, function, &budget)
            .map(drop)
            .map_err(|error| classify(&error, CallStage::Linking, store.data(), &budget))
    }

    fn function(&self, call: CallName) -> Result<&ComponentExportIndex, CallFailure> {
        let found = self.functions.iter().find(|(name, _)| *name == call);
        found.map(|(_, function)| function).ok_or_else(|| {
            let (call, interface) = (call.as_str(), self.names.interface(call));
            CallFailure::Link(format!(
                "it has no `{call}`: it does not export `{interface}`"
            ))
        })
    }

    /// A store with the budget's limits. The deadline starts here, since a start function can loop.
    fn store(&self, budget: &Budget) -> Store<Guest> {
        let mut store = Store::new(self.instance.engine(), Guest::new(budget.memory_bytes));
        store.limiter(|guest| &mut guest.memory);
        let clock = CallClock::start(budget.deadline);
        store.set_epoch_deadline(clock.first_check());
        store.epoch_deadline_callback(move |_| Ok(clock.check()));
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
    ) -> wasmtime::Result<TypedFunc<P, R>>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift,
    {
        store.set_fuel(budget.fuel)?;
        let instance = self.instance.instantiate(&mut *store)?;
        store.set_fuel(budget.fuel)?;
        instance.get_typed_func(store, function)
    }
}
