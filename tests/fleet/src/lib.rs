//! A fleet of simulated devices that use DDI over real HTTP.
//!
//! One process simulates thousands of devices. Each polls, reports its attributes, downloads and verifies updates,
//! reports every step, restarts into the new version or stays on the old one, and confirms or rejects
//! cancellations. How a device reacts to an update follows from the fleet's seed, the device and the version, so
//! that every run of a fleet behaves the same, whatever the order of events. An [`Operator`] uploads firmware and
//! controls campaigns.

mod device;
mod device_record;
mod fleet;
mod operator;
mod profile;

pub use device_record::{AcknowledgedFeedback, DeviceRecord};
pub use fleet::{Fleet, FleetOptions, Pace};
pub use operator::{Operator, RestError};
pub use profile::{Profile, Profiles};

/// Installs ring as the process's TLS provider, which HTTP clients need.
pub fn install_tls() {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
