use std::{borrow::Cow, cmp::Ordering};

use super::{Comparison, FieldKind, Operator, Selector};
use crate::version::sort_key;

/// An entity that selectors can be matched against.
pub trait FieldValues {
    /// The values of a field: none, one, or several (a device may be in several groups). A comparison matches if it
    /// matches any of them.
    fn values(&self, field: &str) -> Vec<Cow<'_, str>>;
}

/// True if the selector matches the entity.
pub fn matches(selector: &Selector, facts: &impl FieldValues) -> bool {
    match selector {
        Selector::And(all) => all.iter().all(|one| matches(one, facts)),
        Selector::Or(any) => any.iter().any(|one| matches(one, facts)),
        Selector::Compare(comparison) => {
            let values = facts.values(&comparison.field);
            let any = |operator| {
                values
                    .iter()
                    .any(|value| holds(comparison, operator, value))
            };
            match comparison.operator {
                Operator::NotEqual => !any(Operator::Equal),
                Operator::Out => !any(Operator::In),
                operator => any(operator),
            }
        }
    }
}

fn holds(comparison: &Comparison, operator: Operator, value: &str) -> bool {
    let mut wanted = comparison.values.iter();
    match operator {
        Operator::Equal | Operator::In => {
            wanted.any(|wanted| equal(comparison.kind, value, wanted))
        }
        Operator::Less => wanted
            .any(|wanted| compare(comparison.kind, value, wanted).is_some_and(Ordering::is_lt)),
        Operator::LessOrEqual => wanted
            .any(|wanted| compare(comparison.kind, value, wanted).is_some_and(Ordering::is_le)),
        Operator::Greater => wanted
            .any(|wanted| compare(comparison.kind, value, wanted).is_some_and(Ordering::is_gt)),
        Operator::GreaterOrEqual => wanted
            .any(|wanted| compare(comparison.kind, value, wanted).is_some_and(Ordering::is_ge)),
        // Handled as negations in `matches`.
        Operator::NotEqual | Operator::Out => false,
    }
}

fn equal(kind: FieldKind, value: &str, wanted: &str) -> bool {
    if wanted.contains('*') && kind != FieldKind::Time {
        return glob_matches(wanted, value);
    }
    compare(kind, value, wanted).is_some_and(Ordering::is_eq)
}

fn compare(kind: FieldKind, value: &str, wanted: &str) -> Option<Ordering> {
    match kind {
        FieldKind::Text => Some(value.cmp(wanted)),
        FieldKind::Version => Some(sort_key(value).cmp(&sort_key(wanted))),
        FieldKind::Time => Some(value.parse::<i64>().ok()?.cmp(&wanted.parse::<i64>().ok()?)),
    }
}

/// True if `text` matches a pattern in which `*` stands for any run of characters.
pub fn glob_matches(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The earliest match leaves the most text for the following parts.
        let Some(at) = text.find(part) else {
            return false;
        };
        text = &text[at + part.len()..];
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::{DEVICE_FIELDS, parse};

    struct Gateway;

    impl FieldValues for Gateway {
        fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
            let values: &[&str] = match field {
                "hw_model" => &["rpi4"],
                "sw_version" => &["1.10.0"],
                "group" => &["lab", "berlin"],
                "attribute.site" => &["lab-3"],
                "last_seen" => &["1000"],
                _ => &[],
            };
            values.iter().map(|value| Cow::from(*value)).collect()
        }
    }

    #[test]
    fn selectors_match_devices() {
        for (text, expected) in [
            ("hw_model==rpi4", true),
            ("hw_model==RPI4", false),
            ("sw_version=lt=1.9.0", false),
            ("sw_version>1.9;sw_version<=1.10", true),
            ("group==berlin", true),
            ("group!=lab", false),
            ("group=out=(tokyo,paris)", true),
            ("group=in=(tokyo,lab)", true),
            ("attribute.site==lab*", true),
            ("attribute.site==*-3", true),
            ("attribute.site==l*b*3", true),
            ("attribute.site==*b-3*3", false),
            ("attribute.floor!=4", true),
            ("attribute.floor=gt=4", false),
            ("last_seen>999", true),
            ("last_seen==1970-01-01T00:00:01Z", true),
            ("last_seen==1970-01-01T02:00:01.000+02:00", true),
            ("last_seen=in=(0,1970-01-01T00:00:01.000Z)", true),
            ("last_seen=gt=1970-01-01T00:00:01.000Z", false),
            ("last_seen!=1970-01-01T00:00:00.999Z", true),
            ("(hw_model==rpi3,hw_model==rpi4);group==lab", true),
        ] {
            let selector = parse(text, &DEVICE_FIELDS).expect("a valid selector");
            assert_eq!(matches(&selector, &Gateway), expected, "{text}");
        }
    }
}
