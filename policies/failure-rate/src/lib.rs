//! The health policy `failure-rate`: stops a campaign when too large a share of its devices fails.

mod sample;

use serde::Deserialize;
use tidegate_plugin_sdk::prelude::*;

use sample::{Sample, SampleVerdict};

/// The policy.
#[derive(Debug)]
pub struct FailureRate;

/// Config, see `schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    threshold_percent: Percent,
    minimum_sample: u64,
    kinds: Vec<FailureKind>,
    scope: SampleScope,
    action: Action,
}

/// Final status that counts as a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FailureKind {
    Failed,
    TimedOut,
    Rejected,
}

/// Devices that form one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SampleScope {
    Wave,
    Campaign,
}

/// Reaction to a sample over the threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Hold,
    RollBack,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threshold_percent: Percent::new(20),
            minimum_sample: 5,
            kinds: vec![
                FailureKind::Failed,
                FailureKind::TimedOut,
                FailureKind::Rejected,
            ],
            scope: SampleScope::Wave,
            action: Action::RollBack,
        }
    }
}

impl Plugin for FailureRate {
    const NAME: &'static str = "failure-rate";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Stops or rolls back when too many devices fail.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl HealthPolicy for FailureRate {
    fn evaluate(input: &HealthInput, config: &Config) -> Result<HealthAnswer, String> {
        let samples = match config.scope {
            SampleScope::Campaign => vec![Sample::of_campaign(input, config)],
            SampleScope::Wave => {
                let opened = input.waves.iter().filter(|wave| wave.is_open());
                opened.map(|wave| Sample::of_wave(wave, config)).collect()
            }
        };
        Ok(answer(&samples, config))
    }
}

/// The verdict of the worst sample: over the threshold, else too small, else healthy.
fn answer(samples: &[Sample<'_>], config: &Config) -> HealthAnswer {
    let explain: Vec<String> = samples.iter().map(|sample| sample.text(config)).collect();
    let find = |verdict| {
        samples
            .iter()
            .find(|sample| sample.verdict(config) == verdict)
    };
    if let Some(bad) = find(SampleVerdict::OverThreshold) {
        let reason = bad.reason(config);
        let verdict = match config.action {
            Action::Hold => HealthVerdict::Hold(reason),
            Action::RollBack => HealthVerdict::RollBack(RollBack {
                scope: Scope::Everything,
                reason,
            }),
        };
        return HealthAnswer::new(verdict, bad.confidence(config), explain);
    }
    let confidence = samples.iter().map(|sample| sample.confidence(config)).min();
    let verdict = match find(SampleVerdict::TooSmall) {
        Some(small) => HealthVerdict::Inconclusive(small.too_few(config)),
        None if samples.is_empty() => {
            HealthVerdict::Inconclusive("No device has been released yet.".to_owned())
        }
        None => HealthVerdict::Healthy,
    };
    HealthAnswer::new(verdict, confidence.unwrap_or(0), explain)
}

tidegate_plugin_sdk::export_health_policy!(FailureRate);

#[cfg(test)]
mod tests;
