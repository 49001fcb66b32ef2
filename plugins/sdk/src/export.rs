//! Exports a plugin type as a component.

use std::marker::PhantomData;

use crate::{
    Assignment, CompatibilityPolicy, HealthPolicy, Plugin, Strategy, assignment, compatibility,
    health,
    meta::{self, Description, FieldError, Interests},
    plugin, policy, rollout, strategy,
};

/// Implements the contract's interfaces for a plugin; used by the export macros.
#[derive(Debug)]
pub struct PluginGuest<P>(PhantomData<P>);

/// Exports a [`Strategy`] as this crate's component.
#[macro_export]
macro_rules! export_strategy {
    ($plugin:ty) => {
        $crate::export_component!($plugin, strategy, export_strategy_part);
    };
}

/// Exports a [`Strategy`] that is also an [`Assignment`] as this crate's component.
#[macro_export]
macro_rules! export_strategy_with_assign {
    ($plugin:ty) => {
        $crate::export_component!($plugin, strategy, export_strategy_part);
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::assignment::export_assignment_part!(
            TidegateComponent with_types_in $crate::bindings::assignment
        );
    };
}

/// Exports a [`CompatibilityPolicy`] as this crate's component.
#[macro_export]
macro_rules! export_compatibility_policy {
    ($plugin:ty) => {
        $crate::export_component!($plugin, compatibility, export_compatibility_part);
    };
}

/// Exports a [`HealthPolicy`] as this crate's component.
#[macro_export]
macro_rules! export_health_policy {
    ($plugin:ty) => {
        $crate::export_component!($plugin, health, export_health_part);
    };
}

/// Common part of the export macros. Native builds export nothing.
#[doc(hidden)]
#[macro_export]
macro_rules! export_component {
    ($plugin:ty, $family:ident, $export:ident) => {
        #[cfg(target_arch = "wasm32")]
        type TidegateComponent = $crate::PluginGuest<$plugin>;
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::every::export_every_part!(
            TidegateComponent with_types_in $crate::bindings::every
        );
        #[cfg(target_arch = "wasm32")]
        $crate::bindings::$family::$export!(
            TidegateComponent with_types_in $crate::bindings::$family
        );
    };
}

/// Each instance serves a single call, so that every call installs the hook.
fn install_panic_hook() {
    #[cfg(target_arch = "wasm32")]
    crate::log::log_panics();
}

impl<P: Plugin> meta::Guest for PluginGuest<P> {
    fn describe() -> Result<Description, String> {
        install_panic_hook();
        Ok(plugin::describe::<P>())
    }

    fn validate(config: String) -> Result<Vec<FieldError>, String> {
        install_panic_hook();
        Ok(plugin::validate::<P>(&config))
    }

    fn wants(config: String) -> Result<Interests, String> {
        install_panic_hook();
        plugin::wants::<P>(&config)
    }
}

impl<S: Strategy> rollout::Guest for PluginGuest<S> {
    fn plan(input: rollout::PlanInput) -> Result<rollout::WavePlan, String> {
        install_panic_hook();
        strategy::plan::<S>(&input)
    }

    fn decide(observation: rollout::Observation) -> Result<rollout::Decision, String> {
        install_panic_hook();
        strategy::decide::<S>(&observation)
    }
}

impl<S: Assignment> assignment::Guest for PluginGuest<S> {
    fn assign(input: assignment::AssignInput) -> Result<Vec<u32>, String> {
        install_panic_hook();
        strategy::assign::<S>(&input)
    }
}

impl<P: CompatibilityPolicy> compatibility::Guest for PluginGuest<P> {
    fn check(input: compatibility::CheckInput) -> Result<Vec<compatibility::Verdict>, String> {
        install_panic_hook();
        policy::check::<P>(&input)
    }
}

impl<P: HealthPolicy> health::Guest for PluginGuest<P> {
    fn evaluate(input: health::HealthInput) -> Result<health::HealthAnswer, String> {
        install_panic_hook();
        policy::evaluate::<P>(&input)
    }
}
