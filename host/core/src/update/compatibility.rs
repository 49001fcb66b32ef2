//! The device class for which the compatibility of an update was checked. Policies are asked again before a device of
//! another class is offered the update.

use crate::{id::Digest, plugin::ClassKey, time::Timestamp};

/// Error code of an update that ended because its device is not compatible any more.
pub const INCOMPATIBLE: &str = "INCOMPATIBLE";

/// What the compatibility of an update and its device is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompatibilityBasis {
    /// The policies that decide.
    pub policies: UpdatePolicies,
    /// The class that they accepted, and when; `None`: they have to be asked before the device is offered the update.
    pub accepted: Option<(UpdateClass, Timestamp)>,
}

/// The policies that decide on the compatibility of an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdatePolicies {
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
    pub plugin: String,
    /// Digest of the revision.
    pub revision: Digest,
    /// JSON.
    pub config: String,
}

/// The properties of a device that its compatibility depends on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UpdateClass {
    /// Reported hardware model.
    pub hardware_model: Option<String>,
    /// Reported hardware revision.
    pub hardware_revision: Option<String>,
    /// Reported software version.
    pub version: Option<String>,
}

impl CompatibilityBasis {
    /// True if a device of this class may be offered the update without another check.
    pub fn covers(&self, class: &UpdateClass) -> bool {
        self.accepted.as_ref().is_some_and(|(accepted, _)| {
            let has_same_hardware = accepted.hardware_model == class.hardware_model
                && accepted.hardware_revision == class.hardware_revision;
            // The way back leads from any version.
            let ignores_version = self.policies == UpdatePolicies::Hardware;
            has_same_hardware && (ignores_version || accepted.version == class.version)
        })
    }

    /// True if a device of this class has another hardware model or revision than the one that was accepted. A device
    /// that had not reported them has no other one.
    pub fn is_of_other_hardware(&self, class: &UpdateClass) -> bool {
        let is_other = |before: &Option<String>, now| before.is_some() && before != now;
        self.accepted.as_ref().is_some_and(|(accepted, _)| {
            is_other(&accepted.hardware_model, &class.hardware_model)
                || is_other(&accepted.hardware_revision, &class.hardware_revision)
        })
    }
}

impl From<&ClassKey> for UpdateClass {
    fn from(key: &ClassKey) -> Self {
        Self {
            hardware_model: key.hardware_model.clone(),
            hardware_revision: key.hardware_revision.clone(),
            version: key.version.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(model: &str, revision: &str, version: &str) -> UpdateClass {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        UpdateClass {
            hardware_model: known(model),
            hardware_revision: known(revision),
            version: known(version),
        }
    }

    #[test]
    fn a_device_of_another_class_is_not_covered() {
        let accepted = |class| Some((class, Timestamp(5)));
        for (policies, before, now, covered, other_hardware) in [
            (
                UpdatePolicies::Campaign,
                class("a", "1", "1.0"),
                class("a", "1", "1.0"),
                true,
                false,
            ),
            (
                UpdatePolicies::Campaign,
                class("a", "1", "1.0"),
                class("a", "1", "1.2"),
                false,
                false,
            ),
            (
                UpdatePolicies::Hardware,
                class("a", "1", "1.0"),
                class("a", "1", "1.2"),
                true,
                false,
            ),
            (
                UpdatePolicies::Hardware,
                class("a", "1", "1.0"),
                class("b", "1", "1.0"),
                false,
                true,
            ),
            (
                UpdatePolicies::Latest,
                class("a", "1", "1.0"),
                class("a", "2", "1.0"),
                false,
                true,
            ),
            (
                UpdatePolicies::Default,
                class("a", "1", "1.0"),
                class("", "", ""),
                false,
                true,
            ),
            (
                UpdatePolicies::Default,
                class("", "", ""),
                class("a", "1", "1.0"),
                false,
                false,
            ),
        ] {
            let basis = CompatibilityBasis {
                policies,
                accepted: accepted(before),
            };
            assert_eq!(basis.covers(&now), covered, "{basis:?} {now:?}");
            assert_eq!(
                basis.is_of_other_hardware(&now),
                other_hardware,
                "{basis:?} {now:?}"
            );
        }
        let unchecked = CompatibilityBasis {
            policies: UpdatePolicies::Campaign,
            accepted: None,
        };
        assert!(!unchecked.covers(&UpdateClass::default()));
        assert!(!unchecked.is_of_other_hardware(&class("a", "1", "1.0")));
    }
}
