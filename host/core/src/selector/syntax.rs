/// Rules by which a selector is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Syntax {
    /// Every value is accepted, and every star is a wildcard. Only for selectors that were stored under these rules.
    V1,
    /// Values must be such as their field can have, and `\*` is a star. A time may be in any year, but for the first
    /// months of 1970. Only for selectors that were stored under these rules.
    V2,
    /// Like `V2`, with times from 2000 to 2099.
    V3,
}

impl Syntax {
    /// The rules for new selectors.
    pub const CURRENT: Self = Self::V3;

    pub(super) fn escapes_stars(self) -> bool {
        self != Self::V1
    }

    pub(super) fn checks_values(self) -> bool {
        self != Self::V1
    }

    pub(super) fn bounds_times(self) -> bool {
        self >= Self::V3
    }
}
