//! Devices in mode `latest`: they are offered the newest firmware that the policies allow.
//!
//! No device request waits for this: events that may leave a device behind mark its tenant dirty, and a loop processes
//! dirty tenants. The loop calls the policies for classes of devices, newest firmware first, and offers the allowed
//! firmware as single updates. Processing is idempotent: a device is offered a firmware automatically only once,
//! whatever the result.

mod chooser;
mod explain;
mod update_loop;

pub use chooser::{FirmwareChoice, SkippedRelease};
pub use explain::explain;
pub use update_loop::{process_dirty_tenants, run_latest_loop};
