//! The health policy `timeout`: stops a campaign when devices time out or take too long.

use serde::Deserialize;
use tidegate_plugin_sdk::{duration_text, percent_text, prelude::*, share_of};

/// The policy.
#[derive(Debug)]
pub struct Timeout;

/// Config, see `schema.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    max_timed_out_percent: Percent,
    max_p95_minutes: Option<Minutes>,
    minimum_sample: u64,
    action: Action,
}

/// Reaction to a limit that is exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Action {
    Hold,
    RollBack,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_timed_out_percent: Percent::new(10),
            max_p95_minutes: None,
            minimum_sample: 5,
            action: Action::Hold,
        }
    }
}

impl Plugin for Timeout {
    const NAME: &'static str = "timeout";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &'static str = "Stops or rolls back when devices time out or take too long.";
    const SCHEMA: &'static str = include_str!("../schema.json");
    type Config = Config;
}

impl HealthPolicy for Timeout {
    fn evaluate(input: &HealthInput, config: &Config) -> Result<HealthAnswer, String> {
        let ended = input.total.conclusive();
        let mut opened = input.waves.iter().filter(|wave| wave.is_open()).peekable();
        let has_ended = opened.peek().is_some() && opened.all(WaveReport::has_ended);
        let confidence = if has_ended {
            10_000
        } else {
            share_of(ended, ended.saturating_add(config.minimum_sample))
        };
        if ended < config.minimum_sample && !has_ended {
            let reason = format!(
                "Too few devices have ended to evaluate: {ended} of {}.",
                config.minimum_sample
            );
            let verdict = HealthVerdict::Inconclusive(reason.clone());
            return Ok(HealthAnswer::new(verdict, confidence, vec![reason]));
        }
        let findings: Vec<Finding> = [
            Some(timeout_finding(input, config)),
            duration_finding(input, config),
        ]
        .into_iter()
        .flatten()
        .collect();
        let exceeds_limit = findings.iter().find(|finding| finding.exceeds_limit);
        let verdict = match exceeds_limit {
            None => HealthVerdict::Healthy,
            Some(finding) => verdict_for(config.action, finding.text.clone()),
        };
        let explain = findings.into_iter().map(|finding| finding.text).collect();
        Ok(HealthAnswer::new(verdict, confidence, explain))
    }
}

/// Comparison of a measurement with its limit.
struct Finding {
    text: String,
    exceeds_limit: bool,
}

fn timeout_finding(input: &HealthInput, config: &Config) -> Finding {
    let (timed_out_devices, ended) = (input.total.timed_out, input.total.conclusive());
    let limit = config.max_timed_out_percent.basis_points();
    Finding {
        text: format!(
            "{timed_out_devices} of {ended} ended devices timed out, {}; the limit is {}.",
            percent_text(share_of(timed_out_devices, ended)),
            percent_text(limit)
        ),
        exceeds_limit: u128::from(timed_out_devices) * 10_000
            > u128::from(ended) * u128::from(limit),
    }
}

fn duration_finding(input: &HealthInput, config: &Config) -> Option<Finding> {
    let limit = config.max_p95_minutes?.milliseconds();
    if input.durations.count == 0 {
        return None;
    }
    let p95 = input.durations.p95;
    Some(Finding {
        text: format!(
            "The 95th percentile of update durations is {}; the limit is {}.",
            duration_text(p95),
            duration_text(limit)
        ),
        exceeds_limit: p95 > limit,
    })
}

fn verdict_for(action: Action, reason: String) -> HealthVerdict {
    match action {
        Action::Hold => HealthVerdict::Hold(reason),
        Action::RollBack => HealthVerdict::RollBack(RollBack {
            scope: Scope::Everything,
            reason,
        }),
    }
}

tidegate_plugin_sdk::export_health_policy!(Timeout);

#[cfg(test)]
mod tests;
