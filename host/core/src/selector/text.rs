use super::{Fields, ParseError, Selector, Syntax, parse::parse_as};

/// The text of a selector that is stored, and parsed when it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectorText {
    /// RSQL.
    pub text: String,
    /// The rules by which it was accepted; it keeps its meaning when they change.
    pub syntax: Syntax,
}

impl SelectorText {
    /// Parses the text over `fields`.
    pub fn parse(&self, fields: &Fields) -> Result<Selector, ParseError> {
        parse_as(&self.text, fields, self.syntax)
    }
}

/// A new selector.
impl From<String> for SelectorText {
    fn from(text: String) -> Self {
        Self {
            text,
            syntax: Syntax::CURRENT,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{
        device_fields::DEVICE_FIELDS,
        selector::{FieldValues, matches},
    };

    struct Robot;

    impl FieldValues for Robot {
        fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
            let values: &[&str] = match field {
                "name" => &[r"a\1"],
                "sw_version" => &["1.0.0"],
                "pinned" => &["false"],
                "mode" => &["rollout"],
                "last_seen" => &["1000"],
                _ => &[],
            };
            values.iter().map(|value| Cow::from(*value)).collect()
        }
    }

    #[test]
    fn a_selector_of_the_first_syntax_keeps_its_meaning() {
        for (text, expected) in [
            ("sw_version=lt=2.O.0", true),
            ("sw_version=lt=''", true),
            ("sw_version=lt=2.*", true),
            ("sw_version!=''", true),
            ("pinned==TRUE", false),
            ("pinned!=TRUE", true),
            ("pinned=lt=true", true),
            ("mode!=manuel", true),
            ("mode==roll*", true),
            ("name=lt=b*", true),
            ("last_seen=gt=999", true),
            // Quotes removed the backslash of an escape; elsewhere it was a character.
            (r#"name=="\*1""#, true),
            (r"name==a\*", true),
            (r"name==\*", false),
        ] {
            let selector = SelectorText {
                text: text.to_owned(),
                syntax: Syntax::V1,
            };
            let selector = selector.parse(&DEVICE_FIELDS).expect("the first syntax");
            assert_eq!(matches(&selector, &Robot), expected, "{text}");
        }
        let current = SelectorText::from(r#"name=="\*1""#.to_owned()).parse(&DEVICE_FIELDS);
        assert!(!matches(&current.expect("a selector"), &Robot));
    }
}
