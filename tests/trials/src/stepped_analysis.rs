//! The strategy `stepped-analysis`: a program of weights, pauses, gates and analyses, all inside one wave.

use serde::{Deserialize, Serialize};
use tidegate_plugin_sdk::{
    WorstVerdict, duration_text, milliseconds_left, percent_text, prelude::*, read_state, rollout,
    types::HealthVerdict, write_state,
};

/// The strategy.
#[derive(Debug)]
pub struct SteppedAnalysis;

/// Config, see the schema.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    steps: Vec<Step>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// Releases this share of all devices, and passes when they have ended.
    Weight(Percent),
    PauseMinutes(Minutes),
    /// Passes when an operator has advanced the campaign past the gate of this name.
    Gate(String),
    /// Passes when every policy is healthy with this confidence.
    AnalysisConfidence(Percent),
}

/// The step that the campaign is at.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Position {
    step: usize,
    /// When the step before it had passed.
    since: u64,
}

enum Progress {
    Passed,
    At(Decision),
}

impl Plugin for SteppedAnalysis {
    const NAME: &'static str = "trial/stepped-analysis";
    const VERSION: &'static str = "1.0.0";
    const SUMMARY: &'static str = "Runs weights, pauses, gates and analyses one after another.";
    const SCHEMA: &'static str = include_str!("../schema/stepped-analysis.json");
    type Config = Config;

    fn validate(config: &Config) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut highest = Percent::new(0);
        for (index, step) in config.steps.iter().enumerate() {
            if let Step::Weight(weight) = step {
                if *weight <= highest {
                    let message = "must be above the weight before it".to_owned();
                    errors.push(FieldError::new(format!("/steps/{index}/weight"), message));
                }
                highest = *weight;
            }
        }
        errors
    }
}

impl Strategy for SteppedAnalysis {
    fn plan(_input: &PlanInput, _config: &Config) -> Result<WavePlan, String> {
        Ok(WavePlan::in_order(vec![Wave::new("all", Members::Rest)]))
    }

    fn decide(observation: &Observation, config: &Config) -> Result<Decision, String> {
        within_limits_until_complete(observation, None, || {
            let mut position: Position = read_state(&observation.state)?;
            while let Some(step) = config.steps.get(position.step) {
                match step.progress(observation, position.since) {
                    Progress::Passed => {
                        position.step += 1;
                        position.since = observation.context.now;
                    }
                    Progress::At(decision) => {
                        return Ok(decision.with_state(write_state(&position)?));
                    }
                }
            }
            let wave = &observation.waves[0];
            let left_out = (wave.released < wave.size).then(|| {
                let devices = wave.size - wave.released;
                format!("All steps have passed; the weights leave out {devices} devices.")
            });
            Ok(Decision::new(Outcome::Complete(left_out)).with_explain("All steps have passed."))
        })
    }
}

impl Step {
    fn progress(&self, observation: &Observation, since: u64) -> Progress {
        let wave = &observation.waves[0];
        match self {
            Self::Weight(weight) => {
                let level = weight.of(wave.size);
                if wave.released >= level && wave.outstanding() == 0 {
                    return Progress::Passed;
                }
                let weight = percent_text(weight.basis_points());
                let ended = wave.counts.ended();
                Progress::At(Decision::levels([level]).with_explain(format!(
                    "Weight {weight}: {ended} of {level} devices have ended."
                )))
            }
            Self::PauseMinutes(pause) => {
                let pause = pause.milliseconds();
                match milliseconds_left(observation.context.now, Some(since), pause) {
                    None => Progress::Passed,
                    Some(left) => {
                        let text = format!("Pauses for another {}.", duration_text(left));
                        Progress::At(Decision::wait(text, left))
                    }
                }
            }
            Self::Gate(name) if observation.advanced_past(name, since) => Progress::Passed,
            Self::Gate(name) => {
                let gate = rollout::Gate {
                    name: name.clone(),
                    before: None,
                };
                let text = format!("Waits for an operator at the gate '{name}'.");
                Progress::At(Decision::new(Outcome::AwaitOperator(gate)).with_explain(text))
            }
            Self::AnalysisConfidence(confidence) => analysis(observation, *confidence),
        }
    }
}

fn analysis(observation: &Observation, confidence: Percent) -> Progress {
    let reason = match observation.worst_verdict() {
        WorstVerdict::Inconclusive { policy, reason } => format!("{policy}: {reason}"),
        _ if observation.verdicts.is_empty() => "the campaign has no policy".to_owned(),
        _ => {
            let unsure = observation.verdicts.iter().find(|verdict| {
                verdict.verdict == HealthVerdict::Healthy
                    && verdict.confidence < confidence.basis_points()
            });
            let Some(unsure) = unsure else {
                return Progress::Passed;
            };
            let percent = percent_text(unsure.confidence);
            format!("{} is sure only by {percent}", unsure.policy)
        }
    };
    let text = format!("The analysis has no result yet: {reason}.");
    Progress::At(Decision::new(Outcome::Proceed).with_explain(text))
}
