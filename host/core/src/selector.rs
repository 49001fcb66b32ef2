//! Selectors: RSQL over devices and other things, parsed once, then matched in memory or turned into SQL.
//!
//! The language: `field==value`, `!=`, `=lt=` `=le=` `=gt=` `=ge=` (also `<` `<=` `>` `>=`), `=in=(a,b)`, `=out=(a,b)`;
//! `;` or ` and ` binds tighter than `,` or ` or `; parentheses group; values may stand in single or double quotes. In
//! a text value `*` matches any run of characters. Comparing is case-sensitive. `!=` and `=out=` also match what has no
//! such field; every other comparison does not. A time is written as RFC 3339 has it, or in milliseconds since 1970.

mod matching;
mod parse;

pub use matching::{FieldValues, glob_matches, matches};
pub use parse::{MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, ParseError, parse};

/// A parsed selector: every field in it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// All of them.
    And(Vec<Selector>),
    /// Any of them.
    Or(Vec<Selector>),
    /// One comparison.
    Compare(Comparison),
}

/// One comparison of a field with values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// As in the text, with its prefix: `attribute.site`.
    pub field: String,
    /// How its values compare.
    pub kind: FieldKind,
    /// How.
    pub operator: Operator,
    /// One; for `In` and `Out` one or more.
    pub values: Vec<String>,
}

impl Selector {
    /// Whether it names this field anywhere.
    pub fn references(&self, field: &str) -> bool {
        match self {
            Self::And(all) => all.iter().any(|one| one.references(field)),
            Self::Or(any) => any.iter().any(|one| one.references(field)),
            Self::Compare(comparison) => comparison.field == field,
        }
    }
}

/// How a field's values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// By text.
    Text,
    /// As versions, by [`crate::version::sort_key`].
    Version,
    /// As moments. The values of a [`Comparison`] are milliseconds since 1970, however they were written.
    Time,
}

/// How to compare.
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

/// The fields that a selector may name.
#[derive(Debug, Clone, Copy)]
pub struct Fields {
    /// Fields by their whole name.
    pub names: &'static [(&'static str, FieldKind)],
    /// Prefixes of free names, each a text, such as `attribute.`.
    pub prefixes: &'static [&'static str],
}

/// The fields of devices.
pub const DEVICE_FIELDS: Fields = Fields {
    names: &[
        ("device_id", FieldKind::Text),
        ("name", FieldKind::Text),
        ("hw_model", FieldKind::Text),
        ("hw_revision", FieldKind::Version),
        ("sw_version", FieldKind::Version),
        ("group", FieldKind::Text),
        ("feed", FieldKind::Text),
        ("mode", FieldKind::Text),
        ("pinned", FieldKind::Text),
        ("drifted", FieldKind::Text),
        ("state", FieldKind::Text),
        ("last_seen", FieldKind::Time),
        ("created_at", FieldKind::Time),
    ],
    prefixes: &["attribute.", "label."],
};

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
