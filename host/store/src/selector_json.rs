use serde::{Deserialize, Serialize};
use tidegate_core::selector::Syntax;

/// The syntax of a stored selector. Selectors that were stored without one have the first.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum SyntaxJson {
    #[default]
    V1,
    V2,
    V3,
}

impl From<Syntax> for SyntaxJson {
    fn from(syntax: Syntax) -> Self {
        match syntax {
            Syntax::V1 => Self::V1,
            Syntax::V2 => Self::V2,
            Syntax::V3 => Self::V3,
        }
    }
}

impl From<SyntaxJson> for Syntax {
    fn from(syntax: SyntaxJson) -> Self {
        match syntax {
            SyntaxJson::V1 => Self::V1,
            SyntaxJson::V2 => Self::V2,
            SyntaxJson::V3 => Self::V3,
        }
    }
}
