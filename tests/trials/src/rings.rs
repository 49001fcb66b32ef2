//! The strategy `rings`: groups of devices in order, each with its own thresholds.

use serde::Deserialize;
use tidegate_plugin_sdk::{percent_text, prelude::*, types::Counts};

/// The strategy.
#[derive(Debug)]
pub struct Rings;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    rings: Vec<Ring>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ring {
    group: String,
    /// Share of the ring that must be updated before the next ring opens.
    #[serde(default = "default_success")]
    success_percentage: Percent,
    /// Share of the ring whose failure holds the campaign at once.
    #[serde(default = "default_error")]
    error_percentage: Percent,
}

const fn default_success() -> Percent {
    Percent::new(90)
}

const fn default_error() -> Percent {
    Percent::new(10)
}

impl Plugin for Rings {
    const NAME: &'static str = "trial/rings";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Groups of devices in order, each with thresholds of its own.";
    const SCHEMA: &'static str = include_str!("../schema/rings.json");
    type Config = Config;
}

impl Strategy for Rings {
    fn plan(input: &PlanInput, config: &Config) -> Result<WavePlan, String> {
        let groups = &input.census.groups;
        for ring in &config.rings {
            if !groups
                .iter()
                .any(|group| group.name == ring.group && group.devices > 0)
            {
                return Err(format!("The group '{}' has no devices.", ring.group));
            }
        }
        let rings = config.rings.iter();
        let waves = rings.map(|ring| Wave::new(&ring.group, Members::group(&ring.group)));
        Ok(WavePlan::in_order(waves.collect()))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        for (wave, ring) in observation.waves.iter().zip(&config.rings) {
            if let Some(reason) = ring.error(wave)
                && !observation.resumed_since(wave.last_progress_at)
            {
                return within_limits(observation, None, || Ok(Decision::hold(reason)));
            }
        }
        in_order(observation, None, |transition| {
            let ring = &config.rings[transition.from];
            let gate = transition.before.success_gate(ring.success_percentage);
            gate.unwrap_or(Gate::Open)
        })
    }
}

impl Ring {
    /// Why the ring is over its error threshold.
    fn error(&self, wave: &WaveReport) -> Option<String> {
        let Counts {
            failed,
            timed_out,
            rejected,
            ..
        } = wave.counts;
        let errors = failed + timed_out + rejected;
        let most = u64::from(self.error_percentage.basis_points()) * wave.size;
        (errors * 10_000 > most).then(|| {
            format!(
                "{errors} of {} devices of ring '{}' have failed; more than {} hold the campaign.",
                wave.size,
                wave.name,
                percent_text(self.error_percentage.basis_points())
            )
        })
    }
}
