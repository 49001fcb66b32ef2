use std::time::Duration;

use super::{Context, Failure, FirmwareFacts, RollbackRequest};
use crate::wave::{Counts, WaveReport};

/// What a health policy is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthInput {
    /// The campaign.
    pub context: Context,
    /// What is being installed.
    pub firmware: FirmwareFacts,
    /// All waves together.
    pub total: Counts,
    /// Failures of all waves, by code.
    pub failures: Vec<Failure>,
    /// Wave by wave.
    pub waves: Vec<WaveReport>,
    /// From offer to end.
    pub durations: Durations,
    /// Wanted telemetry.
    pub metrics: Vec<Metric>,
    /// Health checks of devices.
    pub checks: Vec<HealthCheck>,
    /// JSON.
    pub config: String,
    /// Its own, from the last applied answer.
    pub state: Vec<u8>,
}

/// How long updates took from offer to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durations {
    /// How many ended.
    pub count: u64,
    /// The median.
    pub p50: Duration,
    /// All but one in twenty took no longer.
    pub p95: Duration,
}

/// One side of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(missing_docs, reason = "the names of statistics")]
pub struct Sample {
    pub count: u64,
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub min: f64,
    pub max: f64,
}

/// Devices already updated against those not yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Its name, as the plugin asked for it.
    pub name: String,
    /// Devices on the new firmware.
    pub updated: Sample,
    /// Devices not yet on it.
    pub baseline: Sample,
}

/// One kind of health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Its name.
    pub name: String,
    /// How many passed.
    pub passed: u64,
    /// How many failed.
    pub failed: u64,
}

/// A health policy's verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthVerdict {
    /// Go on.
    Healthy,
    /// Too little is known: wait.
    Inconclusive(String),
    /// Release nothing more.
    Hold(String),
    /// Go back.
    RollBack(RollbackRequest),
}

impl HealthVerdict {
    /// Its name in the journal and in REST.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Inconclusive(_) => "inconclusive",
            Self::Hold(_) => "hold",
            Self::RollBack(_) => "roll_back",
        }
    }

    /// How bad it is: the worst of all policies counts.
    pub fn severity(&self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Inconclusive(_) => 1,
            Self::Hold(_) => 2,
            Self::RollBack(_) => 3,
        }
    }
}

/// What a health policy answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthAnswer {
    /// The verdict.
    pub verdict: HealthVerdict,
    /// Basis points.
    pub confidence: u16,
    /// Handed back at the next call.
    pub state: Vec<u8>,
    /// Sentences for people.
    pub explain: Vec<String>,
}
