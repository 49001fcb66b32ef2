//! A conformance suite for hawkBit's Direct Device Integration API (DDI).
//!
//! Cases are data: a device in some state, requests over plain HTTP, and the expected responses. They run against a
//! server through an [`Adapter`], which performs the operator's actions: it creates devices and firmware, assigns
//! and cancels updates. A case that needs a capability that the server or its adapter lacks is skipped with the
//! reason.
//!
//! The standard is what hawkBit does. Where Tidegate differs on purpose, a case contains both responses; the
//! adapter decides which of them the server must give: see [`DIFFERENCES`].

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
mod zephyr;

pub use adapter::Adapter;
pub use bundle::{Bundle, File, Module};
pub use cases::list;
pub use differences::DIFFERENCES;
pub use report::{CaseOutcome, CaseResult, Report};
pub use run::{RunOptions, run};

pub use wait::{WAIT_TIMEOUT, wait_until};
pub use zephyr::ZephyrFile;
