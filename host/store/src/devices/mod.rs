//! Devices, their groups, labels and attributes.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod delete;
mod labels;
pub(crate) mod last_seen;
pub(crate) mod list;
mod poll_view;
pub(crate) mod read;
mod register;
pub(crate) mod select;
mod well_known_attributes;

#[cfg(test)]
mod tests;

pub(crate) use poll_view::PollViewBatch;
pub(crate) use register::{DeviceRegistration, RegistrationBatch};
pub(crate) use well_known_attributes::WellKnownAttributes;
