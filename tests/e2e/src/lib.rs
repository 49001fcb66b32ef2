//! A harness for end-to-end tests: whole servers on real databases, operators and devices that speak HTTP to them, and
//! time that a test moves by hand.
//!
//! A test is an async function of one argument, and [`both_databases!`] runs it on each database:
//!
//! - [`TestTenant`]: a tenant of its own on a server that many tests share. Its time stands still.
//! - [`IsolatedTenant`]: the same on a server that nobody else uses, whose time the test may move.
//!
//! Nothing here sleeps and hopes: [`wait_until`] waits for a condition, and says what it waited for when it gives up.

mod clock;
mod database;
mod device;
mod dirs;
mod events;
mod firmware;
mod isolated_tenant;
mod process;
mod rest;
mod run;
mod server;
mod test_tenant;

pub use clock::ManualClock;
pub use database::Database;
pub use device::{Device, Offer, Poll, close, feedback};
pub use dirs::files_below;
pub use events::{Event, Events};
pub use firmware::{File, FirmwareForm};
pub use isolated_tenant::IsolatedTenant;
pub use process::{ServerProcess, ServerStorage, output_of};
pub use rest::{HttpResponse, RestClient};
pub use run::{Fixture, run, run_standalone};
pub use server::{ServerOptions, TestServer, components};
pub use test_tenant::TestTenant;
pub use tidegate_ddi_suite::{WAIT_TIMEOUT, wait_until};
