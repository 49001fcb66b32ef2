use crate::{
    explain,
    plugin::{Plugin, read_config},
    rollout::{AssignInput, Decision, Members, Observation, PlanInput, Wave, WavePlan},
};

/// Decides who gets a firmware, and when.
pub trait Strategy: Plugin {
    /// The waves, once at the start and for every preview. `Err` tells the operator what cannot be planned.
    fn plan(input: &PlanInput, config: &Self::Config) -> Result<WavePlan, String>;

    /// A wave for each row, 65535 for none. Asked only when the plan has `custom` members.
    fn assign(_input: &AssignInput, _config: &Self::Config) -> Result<Vec<u16>, String> {
        Err(format!("{} has no custom waves to assign", Self::NAME))
    }

    /// What to release now, at every tick.
    fn decide(observation: &Observation, config: &Self::Config) -> Result<Decision, String>;
}

impl WavePlan {
    /// Waves that open one after the other, over the devices that are selected at the start.
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
    explain::truncate_sentences(&mut decision.explain);
    explain::truncate_outcome(&mut decision.outcome);
    Ok(decision)
}
