use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use super::Origin;

/// The life of a revision. Campaigns that are pinned to a revision continue with it in every state.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum RevisionState {
    /// It was uploaded, and waits for an administrator.
    Candidate,
    /// New campaigns may use it, and it can be the default.
    Enabled,
    /// New campaigns may name it, but it is not the default.
    Deprecated,
    /// New campaigns cannot use it.
    Disabled,
}

impl RevisionState {
    /// The state of a new revision. What is in a folder of the server comes from its operator.
    pub fn at_first(origin: Origin) -> Self {
        match origin {
            Origin::BuiltIn | Origin::Folder => Self::Enabled,
            Origin::Upload => Self::Candidate,
        }
    }

    /// Whether a campaign that names the revision may use it.
    pub fn may_be_named(self) -> bool {
        matches!(self, Self::Enabled | Self::Deprecated)
    }

    /// Whether an administrator may change the state to this one. Only an enabled revision can be deprecated: others
    /// could not be named before, and could be afterwards.
    pub fn can_become(self, next: Self) -> bool {
        match next {
            Self::Candidate => false,
            Self::Deprecated => self.may_be_named(),
            Self::Enabled | Self::Disabled => true,
        }
    }
}

/// The highest release among versions; the first of equal ones. Pre-releases and texts that are no `SemVer` are none.
pub fn highest_release<'a, T>(versions: impl IntoIterator<Item = (&'a str, T)>) -> Option<T> {
    let mut highest: Option<(semver::Version, T)> = None;
    for (version, item) in versions {
        let Ok(version) = semver::Version::parse(version) else {
            continue;
        };
        let is_higher = highest
            .as_ref()
            .is_none_or(|(other, _)| version.cmp_precedence(other).is_gt());
        if version.pre.is_empty() && is_higher {
            highest = Some((version, item));
        }
    }
    highest.map(|(_, item)| item)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_could_be_named_can_be_deprecated() {
        use RevisionState::{Candidate, Deprecated, Disabled, Enabled};
        for (state, next) in [
            (Candidate, vec![Enabled, Disabled]),
            (Enabled, vec![Enabled, Deprecated, Disabled]),
            (Deprecated, vec![Enabled, Deprecated, Disabled]),
            (Disabled, vec![Enabled, Disabled]),
        ] {
            let all = <RevisionState as VariantArray>::VARIANTS.iter().copied();
            let possible: Vec<_> = all.filter(|next| state.can_become(*next)).collect();
            assert_eq!(possible, next, "{state:?}");
        }
    }

    #[test]
    fn the_highest_release_is_the_highest_semver_without_a_pre_release() {
        for (versions, highest) in [
            (&["99.0.0", "0.0.1"][..], Some(0)),
            (&["1.9.0", "1.10.0", "2.0.0-rc.1"], Some(1)),
            (&["1.0.0+b", "1.0.0+a"], Some(0)),
            (&["1.0.0-rc.1"], None),
            (&["newest"], None),
            (&[], None),
        ] {
            let numbered = versions.iter().copied().zip(0..);
            assert_eq!(highest_release(numbered), highest, "{versions:?}");
        }
    }
}
