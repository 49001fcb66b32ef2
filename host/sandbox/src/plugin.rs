//! Plugins whose code is loaded.

use std::sync::{Arc, OnceLock};

use tidegate_core::{
    id::Digest,
    plugin::{
        AssignInput, CheckInput, Compatibility, Decision, Description, HealthAnswer, HealthInput,
        Interests, Observation, Plan, PlanInput, PluginKind,
    },
};
use tidegate_engine::ports::{Call, CallFailure, Validation};
use wasmtime::component::{Component, Linker};

use crate::{
    component::World,
    contract::{Config, Contract},
    guest::Guest,
    limits::SandboxLimits,
    linked_component::LinkedComponent,
    names::CallName,
};

/// A loaded plugin. Its calls block the thread; each has its own store and instance.
#[derive(Clone)]
pub struct Plugin(Arc<PluginInner>);

struct PluginInner {
    digest: Digest,
    world: World,
    component: LinkedComponent,
    /// The text of its config schema, read from the plugin's description on first use.
    schema: OnceLock<Arc<str>>,
}

impl Plugin {
    /// Links a component and finds the exports of its world.
    pub(crate) fn load(
        digest: Digest,
        world: World,
        limits: SandboxLimits,
        linker: &Linker<Guest>,
        component: &Component,
    ) -> Result<Self, CallFailure> {
        let names = world.contract.names();
        let component = LinkedComponent::link(names, world.kind, limits, linker, component)?;
        Ok(Self(Arc::new(PluginInner {
            digest,
            world,
            component,
            schema: OnceLock::new(),
        })))
    }

    /// SHA-256 digest of its component.
    pub fn digest(&self) -> Digest {
        self.0.digest
    }

    /// The kind of its world.
    pub fn kind(&self) -> PluginKind {
        self.0.world.kind
    }

    /// The calls that the plugin exports.
    pub fn calls(&self) -> Vec<CallName> {
        self.0.component.calls().collect()
    }

    /// Calls a strategy's `plan`.
    pub fn plan(&self, input: PlanInput) -> Call<Plan> {
        self.contract().plan(self.component(), input, None)
    }

    /// Calls a strategy's `assign`.
    pub fn assign(&self, input: AssignInput) -> Call<Vec<u32>> {
        self.contract().assign(self.component(), input, None)
    }

    /// Calls a strategy's `decide`.
    pub fn decide(&self, observation: Observation) -> Call<Decision> {
        self.contract().decide(self.component(), observation, None)
    }

    /// Calls a compatibility policy's `check`.
    pub fn check(&self, input: CheckInput) -> Call<Vec<Compatibility>> {
        self.contract().check(self.component(), input, None)
    }

    /// Calls a health policy's `evaluate`.
    pub fn evaluate(&self, input: HealthInput) -> Call<HealthAnswer> {
        self.contract().evaluate(self.component(), input, None)
    }

    /// Calls the plugin's `describe`.
    pub fn describe(&self) -> Result<Description, CallFailure> {
        self.contract().describe(self.component()).outcome
    }

    /// Calls the plugin's `validate`, which may rely on the config being valid by its schema.
    pub fn validate(&self, config: &str) -> Validation {
        let call = self.contract().validate(self.component(), config);
        Validation {
            outcome: call.outcome,
            cost: Some((call.fuel, call.duration)),
        }
    }

    /// Calls the plugin's `wants`.
    pub fn wants(&self, config: &str) -> Call<Interests> {
        let config = Config(config.to_owned());
        self.contract().wants(self.component(), config, None)
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

    /// Creates an instance for each of its calls and checks their types.
    pub(crate) fn check_types(&self) -> Result<(), CallFailure> {
        let mut calls = self.0.component.calls();
        calls.try_for_each(|call| self.contract().types(call).check(self.component()))
    }

    /// The version of the contract that it is built for.
    pub(crate) fn contract(&self) -> &'static dyn Contract {
        self.0.world.contract
    }

    /// Its component.
    pub(crate) fn component(&self) -> &LinkedComponent {
        &self.0.component
    }
}
