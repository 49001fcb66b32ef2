use crate::{
    assignment::AssignInput,
    explain,
    plugin::{Plugin, read_config},
    rollout::{Decision, Members, Observation, Outcome, PlanInput, Wave, WavePlan},
    types::Context,
};

/// A strategy: decides which devices get a firmware, and when.
pub trait Strategy: Plugin {
    /// Plans the waves: once at the start, and for every preview. `Err` is an explanation for operators.
    fn plan(input: &PlanInput, config: &Self::Config) -> Result<WavePlan, String>;

    /// Decides at every tick which devices to release.
    fn decide(observation: &Observation, config: &Self::Config) -> Result<Decision, String>;
}

/// A strategy that decides for each device which wave it is in.
pub trait Assignment: Strategy {
    /// Assigns each row to a wave, or to none with [`UNASSIGNED`]. Called only for plans with `custom` members.
    fn assign(input: &AssignInput, config: &Self::Config) -> Result<Vec<u32>, String>;
}

/// Marks a device without a wave, or without a group.
pub const UNASSIGNED: u32 = u32::MAX;

impl WavePlan {
    /// A plan whose waves open in order, over the devices selected at the start.
    pub fn in_order(waves: Vec<Wave>) -> Self {
        Self {
            waves,
            parallel: false,
            dynamic: false,
            extras: Vec::new(),
        }
    }
}

impl Wave {
    /// A wave and its members.
    pub fn new(name: impl Into<String>, members: Members) -> Self {
        Self {
            name: name.into(),
            members,
            extras: Vec::new(),
        }
    }
}

impl Decision {
    /// Releases nothing, with the reason, and asks again after this many milliseconds at the latest. Drops the state.
    pub fn wait(reason: impl Into<String>, milliseconds: u64) -> Self {
        Self {
            releases: Vec::new(),
            outcome: Outcome::Proceed,
            wake_after: Some(milliseconds),
            state: Vec::new(),
            explain: vec![reason.into()],
            extras: Vec::new(),
        }
    }
}

impl Context {
    /// The value of a fact.
    pub fn fact(&self, key: &str) -> Option<&str> {
        let fact = self.facts.iter().find(|fact| fact.key == key);
        fact.map(|fact| fact.value.as_str())
    }
}

pub(crate) fn plan<S: Strategy>(input: &PlanInput) -> Result<WavePlan, String> {
    S::plan(input, &read_config::<S>(&input.config)?)
}

pub(crate) fn assign<S: Assignment>(input: &AssignInput) -> Result<Vec<u32>, String> {
    S::assign(input, &read_config::<S>(&input.config)?)
}

pub(crate) fn decide<S: Strategy>(observation: &Observation) -> Result<Decision, String> {
    let mut decision = S::decide(observation, &read_config::<S>(&observation.config)?)?;
    explain::fit_sentences(&mut decision.explain);
    explain::fit_outcome(&mut decision.outcome);
    Ok(decision)
}
