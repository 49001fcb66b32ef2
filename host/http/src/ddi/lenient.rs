//! Lenient parsing of what devices send: numbers as strings, a single string in place of a list.

use std::fmt;

use serde::{Deserialize, Deserializer, de::Visitor};

/// A string, a boolean or a number; the latter two in their JSON form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scalar(String);

impl Scalar {
    /// The value as a string.
    pub(super) fn into_text(self) -> String {
        self.0
    }

    /// The value as an integer; a fraction is truncated.
    pub(super) fn number(&self) -> Option<i64> {
        let text = self.0.trim();
        text.parse().ok().or_else(|| {
            let number: f64 = text.parse().ok()?;
            number.is_finite().then_some(number as i64)
        })
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Scalar, E> {
        Ok(Scalar(value))
    }
}

/// Deserializes a list of strings, a single string, or null.
pub(super) fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrList {
        Many(Vec<Option<Scalar>>),
        One(Option<Scalar>),
    }
    let texts = match TextOrList::deserialize(deserializer)? {
        TextOrList::Many(texts) => texts,
        TextOrList::One(text) => vec![text],
    };
    Ok(texts.into_iter().flatten().map(Scalar::into_text).collect())
}
