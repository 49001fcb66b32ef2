/// Rules by which a selector is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// Every value is accepted, and every star is a wildcard. Only for selectors that were stored under these rules.
    V1,
    /// Values must be such as their field can have, and `\*` is a star.
    V2,
}

impl Syntax {
    /// The rules for new selectors.
    pub const CURRENT: Self = Self::V2;

    pub(super) fn escapes_stars(self) -> bool {
        self != Self::V1
    }

    pub(super) fn checks_values(self) -> bool {
        self != Self::V1
    }
}
