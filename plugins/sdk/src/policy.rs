use crate::{
    compatibility::{CheckInput, Needs, Verdict},
    explain,
    health::{HealthAnswer, HealthInput},
    plugin::{Plugin, read_config},
    types::{DeviceClass, HealthVerdict},
};

/// Decides which device classes may take a firmware.
pub trait CompatibilityPolicy: Plugin {
    /// The verdict on one class.
    fn check_class(input: &CheckInput, class: &DeviceClass, config: &Self::Config) -> Verdict;

    /// One verdict for each class, in order.
    fn check(input: &CheckInput, config: &Self::Config) -> Result<Vec<Verdict>, String> {
        Ok(input
            .classes
            .iter()
            .map(|class| Self::check_class(input, class, config))
            .collect())
    }
}

/// Decides whether a campaign is going well.
pub trait HealthPolicy: Plugin {
    /// The verdict on the campaign as it stands.
    fn evaluate(input: &HealthInput, config: &Self::Config) -> Result<HealthAnswer, String>;
}

impl Verdict {
    /// Refuses a class, and says why.
    pub fn incompatible(reason: impl Into<String>) -> Self {
        Self::Incompatible(reason.into())
    }

    /// Lets a class in once it has another version.
    pub fn needs(version: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Needs(Needs {
            version: version.into(),
            reason: reason.into(),
        })
    }
}

impl HealthAnswer {
    /// An answer of a policy that keeps no state.
    pub fn new(verdict: HealthVerdict, confidence: u16, explain: Vec<String>) -> Self {
        Self {
            verdict,
            confidence,
            state: Vec::new(),
            explain,
        }
    }
}

pub(crate) fn check<P: CompatibilityPolicy>(input: &CheckInput) -> Result<Vec<Verdict>, String> {
    let mut verdicts = P::check(input, &read_config::<P>(&input.config)?)?;
    for verdict in &mut verdicts {
        match verdict {
            Verdict::Compatible => {}
            Verdict::Incompatible(reason) | Verdict::Needs(Needs { reason, .. }) => {
                explain::truncate_reason(reason);
            }
        }
    }
    Ok(verdicts)
}

pub(crate) fn evaluate<P: HealthPolicy>(input: &HealthInput) -> Result<HealthAnswer, String> {
    let mut answer = P::evaluate(input, &read_config::<P>(&input.config)?)?;
    explain::truncate_sentences(&mut answer.explain);
    explain::truncate_verdict(&mut answer.verdict);
    Ok(answer)
}
