//! The strategy `ab-test`: a share of the devices gets the firmware, and the others follow if a metric of it is no worse
//! than theirs, by Welch's t-test.

use serde::Deserialize;
use tidegate_plugin_sdk::{
    percent_text,
    prelude::*,
    types::{Metric, Sample},
};

/// The strategy.
#[derive(Debug)]
pub struct AbTest;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    metric: String,
    #[serde(default)]
    better: Better,
    #[serde(default = "default_share")]
    share_percentage: Percent,
    /// At least 30, so that the normal distribution is close enough to Student's.
    #[serde(default = "default_minimum_sample")]
    minimum_sample: u64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Better {
    #[default]
    Lower,
    Higher,
}

const fn default_share() -> Percent {
    Percent::new(20)
}

const fn default_minimum_sample() -> u64 {
    100
}

/// Standard errors beyond which a difference is significant: one-sided, 95 %.
const CRITICAL: f64 = 1.645;

impl Plugin for AbTest {
    const NAME: &'static str = "trial/ab-test";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Compares a metric of updated devices with that of the others.";
    const SCHEMA: &'static str = include_str!("../schema/ab-test.json");
    type Config = Config;

    fn wants(config: &Config) -> Interests {
        Interests::none().with_metrics([&config.metric])
    }
}

impl Strategy for AbTest {
    fn plan(_input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        let share = Members::Share(config.share_percentage.basis_points());
        Ok(WavePlan::in_order(vec![
            Wave::new("b", share),
            Wave::new("a", Members::Rest),
        ]))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        in_order(observation, None, |transition| {
            let before = transition.before;
            if !before.has_ended() {
                return wait(format!("{} of B have ended.", percent_of(before)));
            }
            let mut metrics = observation.metrics.iter();
            match metrics.find(|metric| metric.name == config.metric) {
                None => wait(format!("No device reports the metric '{}'.", config.metric)),
                Some(metric) => compare(metric, config),
            }
        })
    }
}

fn percent_of(wave: &WaveReport) -> String {
    percent_text(tidegate_plugin_sdk::share_of(
        wave.counts.ended(),
        wave.size,
    ))
}

fn wait(reason: String) -> Gate {
    Gate::Wait {
        reason,
        opens_in: None,
    }
}

fn compare(metric: &Metric, config: &Config) -> Gate {
    let (b, a) = (&metric.updated, &metric.baseline);
    let least = a.count.min(b.count);
    if least < config.minimum_sample {
        let minimum = config.minimum_sample;
        return wait(format!(
            "The smaller sample has {least} of {minimum} values."
        ));
    }
    let worse_by = match config.better {
        Better::Lower => b.mean - a.mean,
        Better::Higher => a.mean - b.mean,
    };
    let error = standard_error(a, b);
    let values = format!("{:.3} with the update, {:.3} without", b.mean, a.mean);
    if worse_by > CRITICAL * error {
        let reason = format!("'{}' is significantly worse: {values}.", metric.name);
        return Gate::RollBack { reason };
    }
    Gate::Open
}

/// Of the difference of two means, with unequal variances.
fn standard_error(a: &Sample, b: &Sample) -> f64 {
    (a.variance / a.count as f64 + b.variance / b.count as f64).sqrt()
}
