//! Plugins that try out what the contract can express: each is a module, with its schema in `schema/` and its goldens
//! in `golden/`. They show how to write a strategy; a server does not install them.
//!
//! `examples/` has a component for each.

pub mod ab_test;
pub mod after_campaign;
pub mod bandwidth_cap;
pub mod battery;
pub mod exponential_ramp;
pub mod follow_the_sun;
pub mod one_device_first;
pub mod phases;
pub mod rings;
pub mod site_canaries;
pub mod sprt;
pub mod stepped_analysis;

#[cfg(test)]
mod tests;

/// Compiles the code in the pages for plugin authors as doctests. The tutorial is run as it is written elsewhere.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/plugins/reference.md")]
struct PluginReference;
