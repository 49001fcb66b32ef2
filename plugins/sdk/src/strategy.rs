use crate::{
    explain,
    plugin::{Plugin, read_config},
    rollout::{AssignInput, Decision, Members, Observation, PlanInput, Wave, WavePlan},
};

/// A strategy: decides which devices get a firmware, and when.
pub trait Strategy: Plugin {
    /// Plans the waves: once at the start, and for every preview. `Err` is an explanation for operators.
    fn plan(input: &PlanInput, config: &Self::Config) -> Result<WavePlan, String>;

    /// Assigns each row to a wave, or to none with 65535. Called only for plans with `custom` members.
    fn assign(_input: &AssignInput, _config: &Self::Config) -> Result<Vec<u16>, String> {
        Err(format!("{} has no custom waves to assign", Self::NAME))
    }

    /// Decides at every tick which devices to release.
    fn decide(observation: &Observation, config: &Self::Config) -> Result<Decision, String>;
}

impl WavePlan {
    /// A plan whose waves open in order, over the devices selected at the start.
    pub fn in_order(waves: Vec<Wave>) -> Self {
        Self {
            waves,
            parallel: false,
            dynamic: false,
        }
    }
}

impl Wave {
    /// A wave and its members.
    pub fn new(name: impl Into<String>, members: Members) -> Self {
        Self {
            name: name.into(),
            members,
        }
    }
}

pub(crate) fn plan<S: Strategy>(input: &PlanInput) -> Result<WavePlan, String> {
    S::plan(input, &read_config::<S>(&input.config)?)
}

pub(crate) fn assign<S: Strategy>(input: &AssignInput) -> Result<Vec<u16>, String> {
    S::assign(input, &read_config::<S>(&input.config)?)
}

pub(crate) fn decide<S: Strategy>(observation: &Observation) -> Result<Decision, String> {
    let mut decision = S::decide(observation, &read_config::<S>(&observation.config)?)?;
    explain::fit_sentences(&mut decision.explain);
    explain::fit_outcome(&mut decision.outcome);
    Ok(decision)
}
