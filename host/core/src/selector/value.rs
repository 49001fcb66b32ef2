use std::borrow::Cow;

/// A value of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// This text.
    Exact(String),
    /// A pattern: these texts, with any run of characters between them. At least two.
    Pattern(Vec<String>),
}

impl Value {
    /// True if `text` matches; `is_equal` compares it with an exact value.
    pub(super) fn matches(&self, text: &str, is_equal: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Exact(value) => is_equal(value),
            Self::Pattern(parts) => pattern_matches(parts, text),
        }
    }

    /// The text with its wildcards as stars.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Exact(text) => text.into(),
            Self::Pattern(parts) => parts.join("*").into(),
        }
    }
}

fn pattern_matches(parts: &[String], text: &str) -> bool {
    let [first, between @ .., last] = parts else {
        return parts.iter().any(|only| only == text);
    };
    let Some(mut text) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for part in between {
        // The earliest match leaves the most text for the following parts.
        let Some(at) = text.find(part.as_str()) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last.as_str())
}
