//! Selectors: RSQL over fields of devices and other entities, parsed once, then matched in memory or translated to
//! SQL.
//!
//! Syntax: `field==value`, `!=`, `=lt=` `=le=` `=gt=` `=ge=` (also `<` `<=` `>` `>=`), `=in=(a,b)`, `=out=(a,b)`. `;`
//! or ` and ` binds tighter than `,` or ` or `; parentheses group. Values may be quoted with single or double quotes.
//! `*` in a value matches any run of characters, `\*` a star. Comparisons are case-sensitive. `!=` and `=out=` match
//! entities without the field; all other comparisons do not. Times are RFC 3339 or milliseconds since 1970. A value that
//! the field cannot have is an error, as is a value without an order (a pattern, `rev-b` for a version) if it is compared
//! by order. A stored selector keeps the rules by which it was accepted, its [`Syntax`].

mod check;
mod matching;
mod parse;
mod parse_error;
mod syntax;
mod text;
mod value;

pub use matching::{FieldValues, matches};
pub use parse::parse;
pub use parse_error::{MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, ParseError};
pub use syntax::Syntax;
pub use text::SelectorText;
pub use value::Value;

/// A parsed selector; all its fields are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All operands match.
    And(Vec<Selector>),
    /// Any operand matches.
    Or(Vec<Selector>),
    /// A single comparison.
    Compare(Comparison),
}

/// A comparison of a field with values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Full field name, such as `attribute.site`.
    pub field: String,
    /// Type of the field.
    pub kind: FieldKind,
    /// Comparison operator.
    pub operator: Operator,
    /// Exactly one value; one or more for `In` and `Out`.
    pub values: Vec<Value>,
}

impl Selector {
    /// True if any comparison uses this field.
    pub fn references(&self, field: &str) -> bool {
        match self {
            Self::And(all) => all.iter().any(|one| one.references(field)),
            Self::Or(any) => any.iter().any(|one| one.references(field)),
            Self::Compare(comparison) => comparison.field == field,
        }
    }
}

/// Type of a field, which determines how values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// Compared as text.
    Text,
    /// One of these words. They have no order.
    Word(&'static [&'static str]),
    /// Compared as versions, by [`crate::version::sort_key`].
    Version,
    /// Compared as times. A [`Comparison`] holds milliseconds since 1970, whatever the notation in the source text.
    Time,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the comparisons")]
pub enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Out,
}

/// The fields that a selector may use.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// Fields with fixed names.
    pub names: &'static [(&'static str, FieldKind)],
    /// Prefixes of free field names, such as `attribute.`; their values are text.
    pub prefixes: &'static [&'static str],
}

impl Fields {
    fn kind(&self, field: &str) -> Option<FieldKind> {
        let named = self
            .names
            .iter()
            .find(|(name, _)| *name == field)
            .map(|(_, kind)| *kind);
        let prefixed = || {
            self.prefixes
                .iter()
                .any(|prefix| field.len() > prefix.len() && field.starts_with(prefix))
        };
        named.or_else(|| prefixed().then_some(FieldKind::Text))
    }
}
