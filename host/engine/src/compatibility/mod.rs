//! Compatibility of devices with a firmware, which policies decide.
//!
//! Campaigns, single updates and mode `latest` decide here which devices may get a firmware: devices that plugins
//! cannot distinguish form a class ([`classify`]), and a [`CompatibilityCheck`] asks each of the [`Policies`] about the
//! classes. Where they need an intermediate version first, [`CompatibilityCheck::decide`] finds its firmware. Each update
//! records for which class, when and by which policies it was checked. A device of another class is checked again by the
//! loop that offers it, `campaigns::recheck`.
//!
//! A check itself stores nothing, so a use case that only answers whether devices are compatible makes the same calls:
//! [`Policies::built_in`] with [`DEFAULT_POLICIES`] or [`Policies::load`] with chosen ones, then
//! [`CompatibilityCheck::check_devices`] with [`context_without_campaign`].

mod check;
mod classes;
mod devices;
mod explain;
mod intermediate;
mod policies;

pub(crate) use check::{CheckFailure, CompatibilityCheck, OnFailure, context_without_campaign};
pub(crate) use classes::{DevicesByClass, classify};
pub(crate) use devices::{CheckedDevice, CheckedDevices};
pub(crate) use explain::{class_name, explain_compatibility};
pub(crate) use intermediate::{Decision, IntermediateRules};
pub(crate) use policies::{
    DEFAULT_POLICIES, HARDWARE, LATEST, Policies, chosen, compatibility_policies,
};
