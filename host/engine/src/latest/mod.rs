//! Devices in mode `latest`: the newest firmware that policies let them onto, by itself.
//!
//! Nothing of this is on a device's way: whatever may leave one behind stirs its tenant, and a loop looks at the tenants
//! that were stirred. It asks policies about classes of devices, newest firmware first, and offers what they let through
//! as single updates. Looking twice does nothing twice: a device is offered a firmware by itself once, however that went.

mod chooser;
mod explain;
mod update_loop;

pub use chooser::{FirmwareChoice, SkippedRelease};
pub use explain::explain;
pub use update_loop::{process_dirty_tenants, run_latest_loop};
