//! Compatibility of devices with a firmware, which policies decide.
//!
//! Campaigns, single updates and mode `latest` decide here which devices may get a firmware: devices that plugins
//! cannot distinguish form a class ([`classify`]), and a [`CompatibilityCheck`] asks each of the [`Policies`] about the
//! classes. Nothing is stored, so a use case that only answers whether devices are compatible makes the same calls:
//! [`Policies::by_name`] with [`DEFAULT_POLICIES`] or [`Policies::load`] with chosen ones, then
//! [`CompatibilityCheck::check_devices`] with [`context_without_campaign`].

mod check;
mod classes;
mod policies;

pub(crate) use check::{CheckedDevices, CompatibilityCheck, context_without_campaign};
pub(crate) use classes::{Classified, classify};
pub(crate) use policies::{DEFAULT_POLICIES, HARDWARE, Policies, class_attributes};
