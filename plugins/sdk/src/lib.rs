//! SDK for Tidegate plugins in Rust.
//!
//! A plugin is a type that implements [`Plugin`] and one of [`Strategy`], [`CompatibilityPolicy`] and
//! [`HealthPolicy`]. A macro exports it as a component:
//!
//! ```
//! use serde::Deserialize;
//! use tidegate_plugin_sdk::prelude::*;
//!
//! struct AllAtOnce;
//!
//! #[derive(Deserialize)]
//! struct Config {}
//!
//! impl Plugin for AllAtOnce {
//!     const NAME: &'static str = "acme/all-at-once";
//!     const VERSION: &'static str = "1.0.0";
//!     const SUMMARY: &'static str = "Offers the firmware to every device at once.";
//!     const SCHEMA: &'static str = r#"{"type": "object", "additionalProperties": false}"#;
//!     type Config = Config;
//! }
//!
//! impl Strategy for AllAtOnce {
//!     fn plan(_: &PlanInput, _: &Config) -> Result<WavePlan, String> {
//!         Ok(WavePlan::in_order(vec![Wave::new("all", Members::Rest)]))
//!     }
//!
//!     fn decide(observation: &Observation, _: &Config) -> Result<Decision, String> {
//!         in_order(observation, None, |_| Gate::Open)
//!     }
//! }
//!
//! tidegate_plugin_sdk::export_strategy!(AllAtOnce);
//! ```
//!
//! The types are those of the contract in `wit/`, where each field's unit and meaning are documented. Shares are in
//! basis points, times and durations in milliseconds.
//!
//! # Architecture invariant
//!
//! Results depend on the inputs alone: no clock, no randomness, no iteration order of hash maps. A call returns the
//! same native and as a component, so that one set of goldens covers both.

pub mod bindings;
mod counts;
mod explain;
mod export;
mod gates;
mod in_flight;
mod levels;
mod log;
mod members;
#[cfg(target_arch = "wasm32")]
mod memory;
mod ordered_waves;
mod plugin;
mod policy;
mod state;
mod stop;
mod strategy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod time;
mod units;
mod verdicts;
mod zones;

pub use export::PluginGuest;
pub use gates::PromotionCriteria;
pub use levels::{within_limits, within_limits_until_complete};
pub use log::line;
pub use ordered_waves::{Gate, WaveTransition, in_order};
pub use plugin::Plugin;
pub use policy::{CompatibilityPolicy, HealthPolicy};
pub use state::{read as read_state, write as write_state};
pub use strategy::{Assignment, Strategy, UNASSIGNED};
pub use time::Time;
pub use units::{
    Hours, Minutes, Percent, duration_text, milliseconds_left, percent_text, share_of,
};
pub use verdicts::WorstVerdict;
pub use zones::Zone;

pub use bindings::{
    assignment::exports::tidegate::plugin::assignment,
    compatibility::exports::tidegate::plugin::compatibility,
    every::exports::tidegate::plugin::meta, health::exports::tidegate::plugin::health,
    strategy::exports::tidegate::plugin::rollout, strategy::tidegate::plugin::types,
};

/// Common imports of plugins.
pub mod prelude {
    pub use crate::{
        Assignment, CompatibilityPolicy, Gate, HealthPolicy, Hours, Minutes, Percent, Plugin,
        PromotionCriteria, Strategy, Time, WaveTransition,
        assignment::AssignInput,
        compatibility::{CheckInput, Needs, Verdict},
        health::{HealthAnswer, HealthInput},
        in_order,
        meta::{Description, FieldError, Interests},
        rollout::{Decision, Members, Observation, Outcome, PlanInput, Release, Wave, WavePlan},
        types::{
            Attribute, Context, Counts, DeviceClass, Failure, Firmware, HealthVerdict, RollBack,
            Scope, WaveReport,
        },
        within_limits, within_limits_until_complete,
    };
}
