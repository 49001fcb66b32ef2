use strum::IntoStaticStr;

use super::{Context, FirmwareFacts, RollbackRequest};
use crate::{
    measurement::{Durations, HealthCheck, Metric},
    wave::{Counts, Failure, WaveReport},
};

/// Input of a health policy.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthInput {
    /// The campaign.
    pub context: Context,
    /// Firmware of the campaign.
    pub firmware: FirmwareFacts,
    /// Counters of all waves.
    pub total: Counts,
    /// Failures of all waves by error code.
    pub failures: Vec<Failure>,
    /// Reports of the waves, in order.
    pub waves: Vec<WaveReport>,
    /// Durations of updates.
    pub durations: Durations,
    /// Requested telemetry metrics.
    pub metrics: Vec<Metric>,
    /// Results of device health checks.
    pub checks: Vec<HealthCheck>,
    /// Config as JSON.
    pub config: String,
    /// State of the plugin, from its last applied answer.
    pub state: Vec<u8>,
}

/// Verdict of a health policy.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum HealthVerdict {
    /// The campaign continues.
    Healthy,
    /// Too little data; no new wave opens.
    Inconclusive(String),
    /// No more devices are released.
    Hold(String),
    /// The campaign is rolled back.
    RollBack(RollbackRequest),
}

impl HealthVerdict {
    /// Severity; the highest of all policies applies.
    pub fn severity(&self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Inconclusive(_) => 1,
            Self::Hold(_) => 2,
            Self::RollBack(_) => 3,
        }
    }
}

/// Output of a health policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthAnswer {
    /// Verdict.
    pub verdict: HealthVerdict,
    /// Confidence in basis points.
    pub confidence: u16,
    /// State for the next call.
    pub state: Vec<u8>,
    /// Sentences for operators.
    pub explain: Vec<String>,
}
