//! The health policy `sprt`: Wald's sequential probability ratio test of the share of failures. It decides as soon as
//! the devices that have ended suffice, and is inconclusive until then.

use serde::{Deserialize, Serialize};
use tidegate_plugin_sdk::{prelude::*, read_state, write_state};

/// The policy.
#[derive(Debug)]
pub struct Sprt;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(
    clippy::struct_field_names,
    reason = "the names of the config, which say the unit"
)]
pub struct Config {
    acceptable_percentage: Percent,
    unacceptable_percentage: Percent,
    /// How often an acceptable firmware may be rolled back, and an unacceptable one be found healthy.
    error_percentage: Percent,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            acceptable_percentage: Percent::new(2),
            unacceptable_percentage: Percent::new(10),
            error_percentage: Percent::new(5),
        }
    }
}

/// The devices of the tests that found the firmware healthy. After each a new test begins, so that devices that fail
/// late are not outweighed by all that succeeded before.
#[derive(Debug, Default, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Tested {
    successes: u64,
    failures: u64,
}

impl Plugin for Sprt {
    const NAME: &'static str = "trial/sprt";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Tests the share of failures after every device that ends.";
    const SCHEMA: &'static str = include_str!("../schema/sprt.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let is_valid = config.acceptable_percentage < config.unacceptable_percentage;
        let message = "must be above `acceptable_percentage`";
        let error = || FieldError::new("/unacceptable_percentage", message);
        (!is_valid).then(error).into_iter().collect()
    }
}

impl HealthPolicy for Sprt {
    fn evaluate(input: &HealthInput, config: &Config) -> Result<HealthAnswer, String> {
        let mut tested: Tested = read_state(&input.state)?;
        let has_passed = tested != Tested::default();
        let successes = input.total.completed.saturating_sub(tested.successes);
        let ended = input.total.conclusive();
        let all_failures = ended - input.total.completed;
        let failures = all_failures.saturating_sub(tested.failures);
        let released: u64 = input.waves.iter().map(|wave| wave.released).sum();
        let is_last = ended > 0 && input.total.ended() >= released;

        // 1 at the bound of rollback, -1 at that of health.
        let position = config.log_likelihood_ratio(successes, failures) / config.bound();
        let certain = 10_000 - config.error_percentage.basis_points();
        let confidence = (f64::from(certain) * position.abs().min(1.0)).round() as u16;
        let failed = format!("{failures} of {} devices failed", successes + failures);
        let verdict = if position >= 1.0 {
            HealthVerdict::RollBack(RollBack {
                scope: Scope::Everything,
                reason: format!("{failed}."),
            })
        } else if position <= -1.0 {
            tested = Tested {
                successes: input.total.completed,
                failures: all_failures,
            };
            HealthVerdict::Healthy
        } else if has_passed || (is_last && position <= 0.0) {
            HealthVerdict::Healthy
        } else if is_last {
            HealthVerdict::Hold(format!("{failed}, and no more follow to be sure."))
        } else {
            HealthVerdict::Inconclusive("Too few devices have ended to tell.".to_owned())
        };
        let (percent, bound) = (
            (position.abs() * 100.0).round() as u64,
            if position > 0.0 { "rollback" } else { "health" },
        );
        let explain = format!(
            "Since the last result {successes} devices have succeeded and {failures} failed: {percent}% of the way to {bound}."
        );
        Ok(HealthAnswer {
            state: write_state(&tested)?,
            ..HealthAnswer::new(verdict, confidence, vec![explain])
        })
    }
}

impl Config {
    fn log_likelihood_ratio(&self, successes: u64, failures: u64) -> f64 {
        let acceptable = fraction(self.acceptable_percentage);
        let unacceptable = fraction(self.unacceptable_percentage);
        failures as f64 * (unacceptable / acceptable).ln()
            + successes as f64 * ((1.0 - unacceptable) / (1.0 - acceptable)).ln()
    }

    /// The ratio at which the test ends in either direction, since both errors are equally rare.
    fn bound(&self) -> f64 {
        let error = fraction(self.error_percentage);
        ((1.0 - error) / error).ln()
    }
}

fn fraction(percent: Percent) -> f64 {
    f64::from(percent.basis_points()) / 10_000.0
}
