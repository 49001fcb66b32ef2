//! Harness for end-to-end tests: whole servers on real databases, operators and devices that use HTTP, and clocks
//! that tests advance.
//!
//! A test is an async function of one argument, and [`both_databases!`] runs it on each database:
//!
//! - [`TestTenant`]: a tenant of its own on a server that many tests share. Its clock stands still.
//! - [`IsolatedTenant`]: a tenant on a server of its own, whose clock the test may advance.
//!
//! No test relies on fixed pauses: [`wait_until`] waits for a condition and names it when it times out.

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
pub use device::{Device, close};
pub use dirs::{components, files_below};
pub use events::{Event, Events};
pub use firmware::{File, FirmwareForm};
pub use isolated_tenant::IsolatedTenant;
pub use process::{ServerOutput, ServerProcess, ServerStorage, output_of};
pub use rest::{RestClient, RestResponse};
pub use run::{Fixture, run, run_standalone};
pub use server::{ServerOptions, TestServer};
pub use test_tenant::TestTenant;
pub use tidegate::config::LinkNames;
pub use tidegate_ddi_client::{
    ConfigData, Credentials, DdiError, Deployment, Execution, Feedback, Finished, HandlingType,
    HttpResponse, Offer,
};
pub use tidegate_ddi_suite::{WAIT_TIMEOUT, wait_until};
