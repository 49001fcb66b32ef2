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
    let kind = comparison.kind;
    let is = |is_right: fn(Ordering) -> bool, expected: &str| {
        compare(kind, value, expected).is_some_and(is_right)
    };
    let mut values = comparison.values.iter();
    match operator {
        Operator::Equal | Operator::In => {
            values.any(|expected| expected.matches(value, |expected| is(Ordering::is_eq, expected)))
        }
        Operator::Less => values.any(|expected| is(Ordering::is_lt, &expected.text())),
        Operator::LessOrEqual => values.any(|expected| is(Ordering::is_le, &expected.text())),
        Operator::Greater => values.any(|expected| is(Ordering::is_gt, &expected.text())),
        Operator::GreaterOrEqual => values.any(|expected| is(Ordering::is_ge, &expected.text())),
        // Handled as negations in `matches`.
        Operator::NotEqual | Operator::Out => false,
    }
}

fn compare(kind: FieldKind, value: &str, expected: &str) -> Option<Ordering> {
    match kind {
        FieldKind::Text | FieldKind::Word(_) => Some(value.cmp(expected)),
        FieldKind::Version => Some(sort_key(value).cmp(&sort_key(expected))),
        FieldKind::Time => Some(
            value
                .parse::<i64>()
                .ok()?
                .cmp(&expected.parse::<i64>().ok()?),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_fields::DEVICE_FIELDS;
    use crate::selector::parse;

    struct Gateway;

    impl FieldValues for Gateway {
        fn values(&self, field: &str) -> Vec<Cow<'_, str>> {
            let values: &[&str] = match field {
                "hw_model" => &["rpi4"],
                "sw_version" => &["1.10.0"],
                "group" => &["lab", "berlin"],
                "attribute.site" => &["lab-3"],
                "attribute.note" => &["4*100\\W"],
                "last_seen" => &["1777636801000"],
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
            (r"attribute.site==lab\*", false),
            (r"attribute.note==4\*100*", true),
            (r"attribute.note==4\*\*", false),
            (r#"attribute.note=="4\*100\\W""#, true),
            (r#"attribute.note=="4\*10\*""#, false),
            (r"attribute.note==*100\W", true),
            (r"attribute.note=out=(4\*2,*\*100*)", false),
            ("attribute.floor!=4", true),
            ("attribute.floor=gt=4", false),
            ("last_seen>1777636800999", true),
            ("last_seen==2026-05-01T12:00:01Z", true),
            ("last_seen==2026-05-01T14:00:01.000+02:00", true),
            (
                "last_seen=in=(2000-01-01T00:00:00Z,2026-05-01T12:00:01.000Z)",
                true,
            ),
            ("last_seen=gt=2026-05-01T12:00:01.000Z", false),
            ("last_seen!=2026-05-01T12:00:00.999Z", true),
            ("(hw_model==rpi3,hw_model==rpi4);group==lab", true),
        ] {
            let selector = parse(text, &DEVICE_FIELDS).expect("a valid selector");
            assert_eq!(matches(&selector, &Gateway), expected, "{text}");
        }
    }
}
