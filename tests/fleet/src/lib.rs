//! A fleet of simulated devices that speak DDI over real HTTP.
//!
//! One process plays thousands of devices. Each polls, reports what it is, downloads and checks what it is offered,
//! reports every step, restarts into the new version or stays on the old one, and answers a call back. What a device
//! does with an update is drawn from the fleet's seed, the device and the version, so a fleet does the same every time,
//! whatever the order in which things happen. An [`Operator`] is the other end: whoever uploads firmware and steers
//! campaigns.

mod ddi;
mod device;
mod device_record;
mod fleet;
mod operator;
mod profile;

pub use ddi::{
    Credentials, Ddi, DdiError, Deployment, Execution, Feedback, File, Finished, Offer, Poll,
};
pub use device_record::{AcknowledgedFeedback, DeviceRecord};
pub use fleet::{Fleet, FleetOptions, Pace};
pub use operator::{Operator, RestError};
pub use profile::{Profile, Profiles};

/// Makes ring the process's TLS, which every HTTP client needs before it is built.
pub fn install_tls() {
    // A second call finds the provider in place.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
