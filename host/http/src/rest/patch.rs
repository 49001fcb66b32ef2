//! Bodies of `PATCH`: merge patches (RFC 7396).

use serde::{Deserialize, Deserializer};

/// A field of a merge patch, which is also `#[serde(default)]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Patch<T> {
    /// Left out: it stays as it is.
    #[default]
    Keep,
    /// Null: it goes back to what it is when nobody says anything.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Option::deserialize(deserializer)?;
        Ok(value.map_or(Self::Clear, Self::Set))
    }
}

impl<T: Default> Patch<T> {
    /// What it becomes, where clearing it makes it the default; none: it stays.
    pub(super) fn or_default(self) -> Option<T> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(T::default()),
            Self::Set(value) => Some(value),
        }
    }
}
