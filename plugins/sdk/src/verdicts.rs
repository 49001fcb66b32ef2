use crate::{
    rollout::{Observation, PolicyVerdict},
    types::{HealthVerdict, RollBack},
};

/// The worst verdict of all health policies; the first of equal ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum WorstVerdict<'a> {
    /// All policies report a healthy campaign.
    Healthy,
    /// A policy has too little data: no new wave opens.
    Inconclusive {
        /// Name of the policy.
        policy: &'a str,
        /// Reason that the policy gives.
        reason: &'a str,
    },
    /// A policy holds the campaign: no more devices are released.
    Hold {
        /// Name of the policy.
        policy: &'a str,
        /// Reason that the policy gives.
        reason: &'a str,
    },
    /// A policy requests a rollback.
    RollBack {
        /// Name of the policy.
        policy: &'a str,
        /// Scope and reason.
        request: &'a RollBack,
    },
}

impl Observation {
    /// The worst verdict of the policies.
    pub fn worst_verdict(&self) -> WorstVerdict<'_> {
        let mut worst = WorstVerdict::Healthy;
        for PolicyVerdict {
            policy, verdict, ..
        } in &self.verdicts
        {
            let next = match verdict {
                HealthVerdict::Healthy => WorstVerdict::Healthy,
                HealthVerdict::Inconclusive(reason) | HealthVerdict::Other(reason) => {
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
