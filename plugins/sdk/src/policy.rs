use crate::{
    compatibility::{CheckInput, Needs, Verdict},
    explain,
    health::{HealthAnswer, HealthInput},
    plugin::{Plugin, read_config},
    types::{DeviceClass, HealthVerdict},
};

/// A policy that decides which device classes may get a firmware.
pub trait CompatibilityPolicy: Plugin {
    /// Verdict on one class.
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Self::Config) -> Verdict;

    /// Verdicts on all classes, in order.
    fn check(input: &CheckInput, config: &Self::Config) -> Result<Vec<Verdict>, String> {
        Ok(input
            .classes
            .iter()
            .map(|class| Self::check_class(input, class, config))
            .collect())
    }
}

/// A policy that decides whether a campaign is healthy.
pub trait HealthPolicy: Plugin {
    /// Verdict on the current state of the campaign.
    fn evaluate(input: &HealthInput, config: &Self::Config) -> Result<HealthAnswer, String>;
}

impl Verdict {
    /// Excludes a class with a reason.
    pub fn incompatible(reason: impl Into<String>) -> Self {
        Self::Incompatible(reason.into())
    }

    /// Lets devices of a class have another version first. A class on that version must not need it again.
    pub fn needs(version: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Needs(Needs {
            version: version.into(),
            reason: reason.into(),
        })
    }
}

impl HealthAnswer {
    /// Output of a policy without state.
    pub fn new(verdict: HealthVerdict, confidence: u16, explain: Vec<String>) -> Self {
        Self {
            verdict,
            confidence,
            state: Vec::new(),
            explain,
            extras: Vec::new(),
        }
    }
}

pub(crate) fn check<P: CompatibilityPolicy>(input: &CheckInput) -> Result<Vec<Verdict>, String> {
    let mut verdicts = P::check(input, &read_config::<P>(&input.config)?)?;
    for verdict in &mut verdicts {
        match verdict {
            Verdict::Compatible => {}
            Verdict::Incompatible(reason) | Verdict::Needs(Needs { reason, .. }) => {
                explain::fit_reason(reason);
            }
        }
    }
    Ok(verdicts)
}

pub(crate) fn evaluate<P: HealthPolicy>(input: &HealthInput) -> Result<HealthAnswer, String> {
    let mut answer = P::evaluate(input, &read_config::<P>(&input.config)?)?;
    explain::fit_sentences(&mut answer.explain);
    explain::fit_verdict(&mut answer.verdict);
    Ok(answer)
}
