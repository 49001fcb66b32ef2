use crate::{
    rollout::{Observation, PolicyVerdict},
    types::{HealthVerdict, RollBack},
};

/// What the health policies say together: the worst of them counts, and the first among equals speaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WorstVerdict<'a> {
    /// Nobody objects.
    Healthy,
    /// Somebody knows too little: open no new wave.
    Inconclusive {
        /// Who.
        policy: &'a str,
        /// In its words.
        reason: &'a str,
    },
    /// Release nothing more.
    Hold {
        /// Who.
        policy: &'a str,
        /// In its words.
        reason: &'a str,
    },
    /// Go back.
    RollBack {
        /// Who.
        policy: &'a str,
        /// How far, and why.
        request: &'a RollBack,
    },
}

impl Observation {
    /// The worst of the policies' verdicts.
    pub fn worst_verdict(&self) -> WorstVerdict<'_> {
        let mut worst = WorstVerdict::Healthy;
        for PolicyVerdict {
            policy, verdict, ..
        } in &self.verdicts
        {
            let next = match verdict {
                HealthVerdict::Healthy => WorstVerdict::Healthy,
                HealthVerdict::Inconclusive(reason) => {
                    WorstVerdict::Inconclusive { policy, reason }
                }
                HealthVerdict::Hold(reason) => WorstVerdict::Hold { policy, reason },
                HealthVerdict::RollBack(request) => WorstVerdict::RollBack { policy, request },
            };
            if next.severity() > worst.severity() {
                worst = next;
            }
        }
        worst
    }
}

impl WorstVerdict<'_> {
    fn severity(&self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Inconclusive { .. } => 1,
            Self::Hold { .. } => 2,
            Self::RollBack { .. } => 3,
        }
    }
}
