//! Rejects comparisons that cannot mean what was intended: they would match no device, or all of them.

use super::{Comparison, FieldKind, Operator, ParseError, Value};
use crate::version;

/// The least similarity at which a word is suggested, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.5;

/// Checks the values of a comparison against the type of its field.
pub(super) fn check(comparison: &Comparison) -> Result<(), ParseError> {
    let is_ordering = matches!(
        comparison.operator,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
    );
    match comparison.kind {
        FieldKind::Word(_) if is_ordering => Err(ParseError::NotOrdered {
            field: comparison.field.clone(),
        }),
        FieldKind::Word(words) => reject_first(
            comparison,
            |value| {
                words
                    .iter()
                    .any(|word| value.matches(word, |text| text == *word))
            },
            |value| one_of(words, value),
        ),
        FieldKind::Version if is_ordering => reject_first(
            comparison,
            |value| version::is_ordered(&value.text()),
            |_| {
                "a version that begins with a number, such as 2.0.0, to be compared by order".into()
            },
        ),
        // The parser converts times, and rejects all else.
        FieldKind::Version | FieldKind::Text | FieldKind::Time => Ok(()),
    }
}

fn reject_first(
    comparison: &Comparison,
    is_valid: impl Fn(&Value) -> bool,
    expected: impl Fn(&str) -> String,
) -> Result<(), ParseError> {
    let invalid = comparison.values.iter().find(|value| !is_valid(value));
    invalid.map_or(Ok(()), |value| {
        let value = value.text();
        Err(ParseError::InvalidValue {
            field: comparison.field.clone(),
            expected: expected(&value),
            value: value.into_owned(),
        })
    })
}

/// `rollout, latest or manual (did you mean manual?)`
fn one_of(words: &[&str], value: &str) -> String {
    let list = match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        words => words.concat(),
    };
    match nearest(words, value) {
        Some(word) => format!("{list} (did you mean {word}?)"),
        None => list,
    }
}

/// The word that resembles `value` most, regardless of upper case and of the sign between its parts; `None` if none
/// is similar.
fn nearest<'a>(words: &[&'a str], value: &str) -> Option<&'a str> {
    let value = value.to_lowercase().replace(['-', ' '], "_");
    words
        .iter()
        .map(|word| (strsim::normalized_damerau_levenshtein(&value, word), *word))
        .filter(|(similarity, _)| *similarity >= MIN_SIMILARITY)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use crate::device_fields::DEVICE_FIELDS;
    use crate::selector::{parse, parse_stored};

    #[test]
    fn values_that_a_field_cannot_have_are_rejected() {
        const MODES: &str = "must be rollout, latest or manual";
        const STATES: &str = "must be unknown, registered, pending, in_sync or error";
        const ORDERED: &str =
            "must be a version that begins with a number, such as 2.0.0, to be compared by order";
        for (text, message) in [
            (
                "pinned==TRUE",
                "invalid value `TRUE` for `pinned`: must be true or false (did you mean true?)"
                    .to_owned(),
            ),
            (
                "pinned!=1",
                "invalid value `1` for `pinned`: must be true or false".to_owned(),
            ),
            (
                "drifted=in=(true,flase)",
                "invalid value `flase` for `drifted`: must be true or false (did you mean false?)"
                    .to_owned(),
            ),
            (
                "mode!=manuel",
                format!("invalid value `manuel` for `mode`: {MODES} (did you mean manual?)"),
            ),
            ("mode==''", format!("invalid value `` for `mode`: {MODES}")),
            (
                "mode==x*",
                format!("invalid value `x*` for `mode`: {MODES}"),
            ),
            (
                "state!=in-sync",
                format!("invalid value `in-sync` for `state`: {STATES} (did you mean in_sync?)"),
            ),
            (
                "state=out=(error,Pending)",
                format!("invalid value `Pending` for `state`: {STATES} (did you mean pending?)"),
            ),
            (
                r"state==in\*",
                format!("invalid value `in*` for `state`: {STATES}"),
            ),
            (
                "mode=gt=latest",
                "`mode` has no order: use `==`, `!=`, `=in=` or `=out=`".to_owned(),
            ),
            (
                "sw_version=lt=2.O.0",
                format!("invalid value `2.O.0` for `sw_version`: {ORDERED}"),
            ),
            (
                r#"sw_version=lt="""#,
                format!("invalid value `` for `sw_version`: {ORDERED}"),
            ),
            (
                "sw_version>=1.*",
                format!("invalid value `1.*` for `sw_version`: {ORDERED}"),
            ),
            (
                "group==lab;(hw_model==a,hw_revision=ge=C)",
                format!("invalid value `C` for `hw_revision`: {ORDERED}"),
            ),
        ] {
            let error = parse(text, &DEVICE_FIELDS).map_err(|error| error.to_string());
            assert_eq!(error, Err(message), "{text}");
            assert!(parse_stored(text, &DEVICE_FIELDS).is_ok(), "{text}");
        }
    }

    #[test]
    fn values_that_a_field_can_have_are_accepted() {
        for text in [
            "pinned==true;drifted!=false",
            "pinned=in=(true,false)",
            "mode=out=(latest,manual)",
            "mode==m*",
            "state==*",
            "state==in_sync",
            "sw_version==2.O.0",
            "sw_version!='Rev B'",
            "sw_version==1.*",
            "sw_version<v2",
            "sw_version=ge=2026.05.01.7",
            "sw_version=lt=1.0.0-rc.1+build7",
            "hw_revision>3",
            "name=gt=''",
            "attribute.floor=lt=x",
        ] {
            assert!(parse(text, &DEVICE_FIELDS).is_ok(), "{text}");
        }
    }
}
