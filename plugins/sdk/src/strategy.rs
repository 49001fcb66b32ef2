use crate::{
    assignment::AssignInput,
    explain,
    plugin::{Plugin, read_config},
    rollout::{
        Decision, Members, Observation, OperatorActKind, Outcome, PlanInput, Release, Wave,
        WavePlan,
    },
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
    /// Releases nothing and says nothing; drops the state.
    pub fn new(outcome: Outcome) -> Self {
        Self {
            releases: Vec::new(),
            outcome,
            wake_after: None,
            state: Vec::new(),
            explain: Vec::new(),
            extras: Vec::new(),
        }
    }

    /// Proceeds with these levels of the first waves; drops the state.
    pub fn levels<const N: usize>(levels: [u64; N]) -> Self {
        let levels = (0..).zip(levels);
        let releases = levels.map(|(wave, devices)| Release { wave, devices });
        Self {
            releases: releases.collect(),
            ..Self::new(Outcome::Proceed)
        }
    }

    /// Releases nothing, with the reason, and asks again after this many milliseconds at the latest. Drops the state.
    pub fn wait(reason: impl Into<String>, milliseconds: u64) -> Self {
        Self::new(Outcome::Proceed)
            .with_explain(reason)
            .with_wake_after(milliseconds)
    }

    /// Holds the campaign until an operator resumes it; drops the state.
    pub fn hold(reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self::new(Outcome::Hold(reason.clone())).with_explain(reason)
    }

    /// Adds a sentence for operators.
    #[must_use]
    pub fn with_explain(mut self, sentence: impl Into<String>) -> Self {
        self.explain.push(sentence.into());
        self
    }

    /// Sets the level of a wave.
    #[must_use]
    pub fn with_level(mut self, wave: u32, devices: u64) -> Self {
        self.releases.push(Release { wave, devices });
        self
    }

    /// Asks again after this many milliseconds at the latest: of several times the first one counts.
    #[must_use]
    pub fn with_wake_after(mut self, milliseconds: impl Into<Option<u64>>) -> Self {
        let times = self.wake_after.into_iter().chain(milliseconds.into());
        self.wake_after = times.min();
        self
    }

    /// Hands this state to the next call.
    #[must_use]
    pub fn with_state(mut self, state: Vec<u8>) -> Self {
        self.state = state;
        self
    }
}

impl Observation {
    /// True if an operator has advanced the campaign past the gate of this name at this time or later.
    pub fn advanced_past(&self, gate: &str, since: u64) -> bool {
        self.operator.iter().any(|act| {
            act.kind == OperatorActKind::Advanced
                && act.gate.as_deref() == Some(gate)
                && act.at >= since
        })
    }

    /// True if an operator has resumed the campaign at this time or later; false without a time. A strategy that holds
    /// because of counters asks with the time of their last change, so that it does not hold again for what the operator
    /// has seen.
    pub fn resumed_since(&self, since: Option<u64>) -> bool {
        since.is_some_and(|since| {
            let mut acts = self.operator.iter();
            acts.any(|act| act.kind == OperatorActKind::Resumed && act.at >= since)
        })
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
