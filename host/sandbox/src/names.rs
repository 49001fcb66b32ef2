//! The names of the contract in components and records: versions, interfaces and calls.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};
use tidegate_core::plugin::PluginKind;

/// The package of the contract, in the names of interfaces.
const PACKAGE: &str = "tidegate:plugin/";

/// The names of one version of the contract.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContractNames {
    /// The version that an inspection reports, and with which revisions are stored.
    pub(crate) version: &'static str,
    /// The version in the names of interfaces, up to the patch level: a plugin may have any.
    pub(crate) minor: &'static str,
    /// The version in records and goldens. `None`: they have none, which means 1.0.
    pub(crate) in_records: Option<&'static str>,
    /// The only import with functions.
    pub(crate) log: &'static str,
    /// The imports with types only.
    pub(crate) types: &'static [&'static str],
    /// The export of every world.
    pub(crate) meta: &'static str,
    /// The export of strategies that assign devices to waves.
    pub(crate) assignment: &'static str,
    /// The exports that identify the worlds.
    pub(crate) rollout: &'static str,
    pub(crate) compatibility: &'static str,
    pub(crate) health: &'static str,
}

impl ContractNames {
    /// The export that identifies a world.
    pub(crate) fn world(&self, kind: PluginKind) -> &'static str {
        match kind {
            PluginKind::Strategy => self.rollout,
            PluginKind::Compatibility => self.compatibility,
            PluginKind::Health => self.health,
        }
    }

    /// The interface that has a call.
    pub(crate) fn interface(&self, call: CallName) -> &'static str {
        match (call, call.kind()) {
            (CallName::Assign, _) => self.assignment,
            (_, Some(kind)) => self.world(kind),
            (_, None) => self.meta,
        }
    }

    /// Whether a name is that of this interface, in any patch version: these differ in comments only.
    pub(crate) fn is_patch_of(&self, name: &str, interface: &str) -> bool {
        match (name.split_once('@'), interface.split_once('@')) {
            (Some((name, version)), Some((interface, _))) => {
                name == interface && self.has_patch(version)
            }
            _ => false,
        }
    }

    /// Whether a version is a patch version of this one.
    pub(crate) fn has_patch(&self, version: &str) -> bool {
        let patch = version.strip_prefix(self.minor);
        let patch = patch.and_then(|rest| rest.strip_prefix('.'));
        patch.is_some_and(|patch| {
            !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit())
        })
    }
}

/// The version in the name of an interface of the contract; `None`: it is the name of something else.
pub(crate) fn contract_version(name: &str) -> Option<&str> {
    let (_, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
    Some(version)
}

/// The calls of all worlds, by their names in the contract, in records and in goldens.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum CallName {
    /// What the plugin reports of itself. The input of a golden is `null`.
    Describe,
    /// Rules of a config beyond its schema.
    Validate,
    /// What the plugin has to be shown.
    Wants,
    /// A strategy's waves.
    Plan,
    /// A strategy's devices of each wave.
    Assign,
    /// A strategy's decision.
    Decide,
    /// A compatibility policy's verdicts.
    Check,
    /// A health policy's verdict.
    Evaluate,
}

impl CallName {
    /// The kind of plugin that exports the call. `None`: every plugin.
    pub(crate) fn kind(self) -> Option<PluginKind> {
        match self {
            Self::Describe | Self::Validate | Self::Wants => None,
            Self::Plan | Self::Assign | Self::Decide => Some(PluginKind::Strategy),
            Self::Check => Some(PluginKind::Compatibility),
            Self::Evaluate => Some(PluginKind::Health),
        }
    }

    /// Whether a plugin of its kind may leave it out.
    pub(crate) fn is_optional(self) -> bool {
        self == Self::Assign
    }
}
