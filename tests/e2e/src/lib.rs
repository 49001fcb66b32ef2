//! A harness for end-to-end tests: whole servers on real databases, operators and devices that speak HTTP to them, and
//! time that a test moves by hand.
//!
//! A test is an async function of one argument, and [`both_databases!`] runs it on each database:
//!
//! - [`Lab`]: a tenant of its own on a server that many tests share. Its time stands still.
//! - [`Alone`]: the same on a server that nobody else uses, whose time the test may move.
//!
//! Nothing here sleeps and hopes: [`until`] waits for a condition, and says what it waited for when it gives up.

mod alone;
mod clock;
mod database;
mod device;
mod events;
mod firmware;
mod folder;
mod lab;
mod process;
mod rest;
mod run;
mod server;

pub use alone::Alone;
pub use clock::HandClock;
pub use database::Database;
pub use device::{Device, Offer, Poll, close, feedback};
pub use events::{Event, Events};
pub use firmware::{File, FirmwareForm};
pub use folder::files_below;
pub use lab::Lab;
pub use process::{Ground, Program, printed};
pub use rest::{Answer, Rest};
pub use run::{Stage, plain, run};
pub use server::{Server, Setup, components};
pub use tidegate_ddi_suite::{PATIENCE, until};
