//! Statistics of a campaign's devices that plugins see beside the counters.

use std::time::Duration;

use crate::time::Timestamp;

/// Durations of updates from offer to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Durations {
    /// Number of ended updates.
    pub count: u64,
    /// Median.
    pub p50: Duration,
    /// 95th percentile.
    pub p95: Duration,
}

/// Statistics of one side of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(missing_docs, reason = "the names of statistics")]
pub struct Sample {
    pub count: u64,
    pub mean: f64,
    pub variance: f64,
    pub p50: f64,
    pub p95: f64,
    pub min: f64,
    pub max: f64,
}

/// A telemetry metric: updated devices compared with the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Name, as the plugin requested it.
    pub name: String,
    /// Start of the window in which the devices reported the numbers; it ends at the time of the call.
    pub since: Timestamp,
    /// Devices on the new firmware.
    pub updated: Sample,
    /// Devices still on another firmware.
    pub baseline: Sample,
}

/// Results of one device health check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// Name of the check.
    pub name: String,
    /// Devices that passed.
    pub passed: u64,
    /// Devices that failed.
    pub failed: u64,
}
