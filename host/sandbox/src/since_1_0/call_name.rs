//! The calls of the contract that are recorded.

use strum::{EnumString, IntoStaticStr, VariantArray};
use tidegate_core::plugin::PluginKind;

/// The name of a call in the contract and in records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum CallName {
    Plan,
    Assign,
    Decide,
    Check,
    Evaluate,
}

impl CallName {
    /// The kind of plugin that exports the call.
    pub(crate) fn kind(self) -> PluginKind {
        match self {
            Self::Plan | Self::Assign | Self::Decide => PluginKind::Strategy,
            Self::Check => PluginKind::Compatibility,
            Self::Evaluate => PluginKind::Health,
        }
    }

    /// The interface that has the call.
    pub(crate) fn interface(self) -> &'static str {
        match self {
            Self::Assign => super::ASSIGNMENT,
            Self::Plan | Self::Decide | Self::Check | Self::Evaluate => {
                super::interface(self.kind())
            }
        }
    }

    /// Whether a plugin of its kind may leave it out.
    pub(crate) fn is_optional(self) -> bool {
        self == Self::Assign
    }
}
