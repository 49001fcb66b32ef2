//! The device class for which the compatibility of an update was checked. Policies are asked again before a device of
//! another class is offered the update.

use super::UpgradePath;
use crate::{
    id::Digest,
    plugin::{ClassKey, PluginName},
    time::Timestamp,
};

/// Error code of an update that ended because its device is not compatible any more.
pub const INCOMPATIBLE: &str = "INCOMPATIBLE";

/// What the compatibility of an update and its device is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompatibilityBasis {
    /// The policies that decide.
    pub policies: UpdatePolicies,
    /// The attributes that are part of the class, because these policies request them; ordered.
    pub attributes: Vec<String>,
    /// The class that they accepted, and when; `None`: they have to be asked before the device is offered the update.
    pub accepted: Option<(ClassKey, Timestamp)>,
    /// The class that they rejected, after which the update ended.
    pub rejected: Option<ClassKey>,
    /// The path over intermediate versions that the update is part of; `None`: the device needs none of them.
    pub path: Option<UpgradePath>,
}

/// The policies that decide on the compatibility of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdatePolicies {
    /// None: an operator forced the update.
    Forced,
    /// The compatibility policies of the update's campaign.
    Campaign,
    /// The policy `hardware`: the update brings back a firmware that the device had.
    Hardware,
    /// The policies of mode `latest`.
    Latest,
    /// The default policies.
    Default,
    /// Policies that an operator chose.
    Chosen(Vec<ChosenPolicy>),
}

/// A policy that an operator chose for an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChosenPolicy {
    /// Name of the plugin.
    pub plugin: PluginName,
    /// Digest of the revision.
    pub revision: Digest,
    /// JSON.
    pub config: String,
}

impl CompatibilityBasis {
    /// That of an update whose device these policies have not checked yet.
    pub fn unchecked(policies: UpdatePolicies) -> Self {
        Self {
            policies,
            attributes: Vec::new(),
            accepted: None,
            rejected: None,
            path: None,
        }
    }

    /// True if a device of this class may be offered the update without another check.
    pub fn covers(&self, class: &ClassKey) -> bool {
        if self.policies == UpdatePolicies::Forced {
            return true;
        }
        self.accepted.as_ref().is_some_and(|(accepted, _)| {
            let is_same_device = accepted.hardware_model == class.hardware_model
                && accepted.hardware_revision == class.hardware_revision
                && accepted.attributes == class.attributes;
            // A rollback may start from any version.
            let ignores_version = self.policies == UpdatePolicies::Hardware;
            is_same_device && (ignores_version || accepted.version == class.version)
        })
    }

    /// That of an update that brings the firmware of this update back, or the one before it. `None`: it is not known as
    /// what the device was accepted.
    pub fn for_rollback(&self) -> Option<Self> {
        self.accepted.is_some().then(|| Self {
            policies: UpdatePolicies::Hardware,
            rejected: None,
            path: None,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(model: &str, revision: &str, version: &str, site: &str) -> ClassKey {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        ClassKey {
            hardware_model: known(model),
            hardware_revision: known(revision),
            version: known(version),
            attributes: known(site)
                .map(|site| ("site".to_owned(), site))
                .into_iter()
                .collect(),
        }
    }

    fn basis(policies: UpdatePolicies, accepted: ClassKey) -> CompatibilityBasis {
        CompatibilityBasis {
            attributes: vec!["site".to_owned()],
            accepted: Some((accepted, Timestamp(5))),
            ..CompatibilityBasis::unchecked(policies)
        }
    }

    #[test]
    fn a_device_of_another_class_is_not_covered() {
        use UpdatePolicies as P;
        let same = class("a", "1", "1.0", "lab");
        for (policies, before, now, covered) in [
            (P::Campaign, same.clone(), same.clone(), true),
            (
                P::Campaign,
                same.clone(),
                class("a", "1", "1.2", "lab"),
                false,
            ),
            (
                P::Hardware,
                same.clone(),
                class("a", "1", "1.2", "lab"),
                true,
            ),
            (
                P::Hardware,
                same.clone(),
                class("b", "1", "1.0", "lab"),
                false,
            ),
            (
                P::Hardware,
                same.clone(),
                class("a", "1", "1.0", "field"),
                false,
            ),
            (
                P::Latest,
                same.clone(),
                class("a", "2", "1.0", "lab"),
                false,
            ),
            (P::Default, same.clone(), class("", "", "", ""), false),
            // What a device reports for the first time is a change.
            (P::Default, class("", "", "", ""), same.clone(), false),
            (
                P::Default,
                class("a", "", "1.0", "lab"),
                same.clone(),
                false,
            ),
            (P::Campaign, class("a", "1", "1.0", ""), same.clone(), false),
            (P::Campaign, same.clone(), class("a", "1", "1.0", ""), false),
            (P::Forced, same.clone(), class("b", "2", "3.0", ""), true),
        ] {
            let basis = basis(policies, before);
            assert_eq!(basis.covers(&now), covered, "{basis:?} {now:?}");
        }
        let unchecked = CompatibilityBasis::unchecked(UpdatePolicies::Campaign);
        assert!(!unchecked.covers(&ClassKey::default()));
        let forced = CompatibilityBasis::unchecked(UpdatePolicies::Forced);
        assert!(forced.covers(&same));
    }

    #[test]
    fn a_rollback_goes_to_the_device_that_was_accepted() {
        let accepted = class("a", "1", "1.0", "lab");
        let back = basis(UpdatePolicies::Latest, accepted.clone()).for_rollback();
        assert_eq!(back, Some(basis(UpdatePolicies::Hardware, accepted)));
        let unchecked = CompatibilityBasis::unchecked(UpdatePolicies::Forced);
        assert_eq!(unchecked.for_rollback(), None);
    }
}
