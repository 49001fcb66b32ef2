//! A conformance suite for hawkBit's Direct Device Integration API (DDI).
//!
//! Cases are data: a device in some state, requests over plain HTTP, and what each must be answered. They are held
//! against a server through an [`Adapter`], which does what an operator would do: it makes devices and firmware, assigns
//! the one to the other, calls back. A case that needs what a server does not have, or an adapter cannot do, is skipped,
//! and says why.
//!
//! The standard is what hawkBit does. Where Tidegate does otherwise on purpose, a case knows both answers, and a server is
//! held to the one that its adapter promises: see [`DIFFERENCES`].

pub mod adapter;
mod bundle;
mod case;
mod cases;
mod check;
mod device;
mod differences;
mod placeholders;
mod raw;
mod report;
mod response;
mod run;
mod suite;
mod wait;

pub use adapter::Adapter;
pub use bundle::{Bundle, File, Module};
pub use cases::list;
pub use differences::DIFFERENCES;
pub use report::{CaseOutcome, CaseResult, Report};
pub use run::{RunOptions, run};

pub use wait::{WAIT_TIMEOUT, wait_until};
