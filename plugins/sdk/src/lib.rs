//! Writes Tidegate plugins in Rust.
//!
//! A plugin is a type that says what it is ([`Plugin`]) and answers one family's questions: a [`Strategy`], a
//! [`CompatibilityPolicy`] or a [`HealthPolicy`]. One macro turns it into a component:
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
//!     const NAME: &'static str = "all-at-once";
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
//! The types are those of the contract in `wit/`, whose comments give each field's unit and meaning. Shares are basis
//! points, times and durations milliseconds.
//!
//! # Architecture invariant
//!
//! Nothing here knows more than it is handed: no clock, no randomness, no iteration order of a hash map. The same call
//! gives the same answer, native or as a component, which is why one set of goldens serves both.

pub mod bindings;
mod counts;
mod explain;
mod export;
mod gates;
mod log;
#[cfg(target_arch = "wasm32")]
mod memory;
mod ordered_waves;
mod plugin;
mod policy;
mod state;
mod strategy;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod units;
mod verdicts;

pub use export::PluginGuest;
pub use gates::PromotionCriteria;
pub use log::line;
pub use ordered_waves::{Gate, WaveTransition, in_order};
pub use plugin::Plugin;
pub use policy::{CompatibilityPolicy, HealthPolicy};
pub use state::{read as read_state, write as write_state};
pub use strategy::Strategy;
pub use units::{
    Hours, Minutes, Percent, duration_text, milliseconds_left, percent_text, share_of,
};
pub use verdicts::WorstVerdict;

pub use bindings::{
    compatibility::exports::tidegate::plugin::compatibility,
    every::exports::tidegate::plugin::meta, health::exports::tidegate::plugin::health,
    strategy::exports::tidegate::plugin::rollout, strategy::tidegate::plugin::types,
};

/// What a plugin's source usually needs.
pub mod prelude {
    pub use crate::{
        CompatibilityPolicy, Gate, HealthPolicy, Hours, Minutes, Percent, Plugin,
        PromotionCriteria, Strategy, WaveTransition,
        compatibility::{CheckInput, Needs, Verdict},
        health::{HealthAnswer, HealthInput},
        in_order,
        meta::{Description, FieldError},
        rollout::{
            Admission, AssignInput, Decision, Members, Observation, Outcome, PlanInput, Wave,
            WavePlan,
        },
        types::{
            Attribute, Context, Counts, DeviceClass, Failure, Firmware, HealthVerdict, RollBack,
            Scope, WaveReport,
        },
    };
}

/// The code in the guide for authors is compiled with the documentation's tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-plugins.md")]
struct WritingPlugins;
