//! Rejects comparisons that cannot mean what was intended: they would match no device, or all of them.

use super::{FieldKind, Operator, ParseError, Value};
use crate::{time::Timestamp, version};

/// The least similarity at which a word is suggested, from 0 to 1.
const MIN_SIMILARITY: f64 = 0.5;
/// A smaller number is no time in milliseconds since 1970 but one in seconds, or a year. As milliseconds it would be in
/// the first months of 1970, so that a comparison by order would match all devices, or none.
const MIN_MILLIS: i64 = 10_000_000_000;
/// 2000-01-01T00:00:00Z. No device was created or seen before.
const MIN_TIME: Timestamp = Timestamp(946_684_800_000);
/// 2100-01-01T00:00:00Z. As milliseconds, a number of microseconds is thousands of years later.
const MAX_TIME: Timestamp = Timestamp(4_102_444_800_000);

/// Checks a value against the type of its field. `parts`: the texts between its wildcards.
pub(super) fn check(
    field: &str,
    kind: FieldKind,
    operator: Operator,
    parts: &[String],
) -> Result<(), ParseError> {
    use Operator::{Greater, GreaterOrEqual, Less, LessOrEqual};
    let is_ordering = matches!(operator, Less | LessOrEqual | Greater | GreaterOrEqual);
    let text = parts.join("*");
    let expected = match kind {
        FieldKind::Word(_) if is_ordering => {
            return Err(ParseError::NotOrdered {
                field: field.to_owned(),
                value: text,
            });
        }
        FieldKind::Word(words) if !words.iter().any(|word| matches_word(parts, word)) => {
            one_of(words, &text)
        }
        FieldKind::Version if text.trim().is_empty() => {
            "a version, such as 2.0.0, or `*` for any version".to_owned()
        }
        FieldKind::Version if is_ordering && !version::is_ordered(&text) => {
            "a version that begins with a number, such as 2.0.0, to be compared by order".to_owned()
        }
        FieldKind::Text if is_ordering && parts.len() > 1 => {
            r"a text without wildcards to be compared by order (`\*` is a star)".to_owned()
        }
        FieldKind::Time if is_short_number(&text) => return Err(not_a_time(field, &text)),
        // The parser converts times, rejects all else, and checks the result by `check_time`.
        FieldKind::Word(_) | FieldKind::Version | FieldKind::Text | FieldKind::Time => {
            return Ok(());
        }
    };
    Err(ParseError::InvalidValue {
        field: field.to_owned(),
        value: text,
        expected,
    })
}

/// Checks a time, which was written as `text`.
pub(super) fn check_time(field: &str, time: Timestamp, text: &str) -> Result<(), ParseError> {
    if (MIN_TIME..MAX_TIME).contains(&time) {
        Ok(())
    } else {
        Err(not_a_time(field, text))
    }
}

pub(super) fn not_a_time(field: &str, text: &str) -> ParseError {
    ParseError::NotATime {
        field: field.to_owned(),
        value: text.to_owned(),
    }
}

fn matches_word(parts: &[String], word: &str) -> bool {
    match parts {
        [text] => text == word,
        parts => Value::Pattern(parts.to_vec()).matches(word, |_| false),
    }
}

/// Zero and negative numbers are times before every device; they are no year and no time in seconds. The current syntax
/// rejects them all the same, by [`check_time`].
fn is_short_number(text: &str) -> bool {
    let number = text.parse::<i64>();
    number.is_ok_and(|number| (1..MIN_MILLIS).contains(&number))
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
    use crate::{
        device_fields::DEVICE_FIELDS,
        selector::{Selector, SelectorText, Syntax, Value, parse},
    };

    #[test]
    fn values_that_a_field_cannot_have_are_rejected() {
        const MODES: &str = "must be rollout, latest or manual";
        const STATES: &str = "must be unknown, registered, pending, in_sync, error or overdue";
        const ORDERED: &str =
            "must be a version that begins with a number, such as 2.0.0, to be compared by order";
        const VERSION: &str = "must be a version, such as 2.0.0, or `*` for any version";
        const PLAIN: &str =
            r"must be a text without wildcards to be compared by order (`\*` is a star)";
        const TIME: &str = "must be RFC 3339, such as 2026-05-01T12:00:00Z, or milliseconds since 1970, from 2000 to 2099";
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
                "invalid comparison of `mode` with `latest`: it has no order, use `==`, `!=`, `=in=` or `=out=`"
                    .to_owned(),
            ),
            (
                "pinned<true",
                "invalid comparison of `pinned` with `true`: it has no order, use `==`, `!=`, `=in=` or `=out=`"
                    .to_owned(),
            ),
            (
                "sw_version=lt=2.O.0",
                format!("invalid value `2.O.0` for `sw_version`: {ORDERED}"),
            ),
            (
                r#"sw_version=lt="""#,
                format!("invalid value `` for `sw_version`: {VERSION}"),
            ),
            (
                r#"sw_version!="""#,
                format!("invalid value `` for `sw_version`: {VERSION}"),
            ),
            (
                "hw_revision=out=(1.0,' ')",
                format!("invalid value ` ` for `hw_revision`: {VERSION}"),
            ),
            (
                "name>a*",
                format!("invalid value `a*` for `name`: {PLAIN}"),
            ),
            (
                "attribute.floor<='*'",
                format!("invalid value `*` for `attribute.floor`: {PLAIN}"),
            ),
            (
                "last_seen>2026",
                format!("invalid time `2026` for `last_seen`: {TIME}"),
            ),
            // Microseconds and nanoseconds: as milliseconds, every device was seen before.
            (
                "last_seen<1777636800000000",
                format!("invalid time `1777636800000000` for `last_seen`: {TIME}"),
            ),
            (
                "last_seen<1777636800000000000",
                format!("invalid time `1777636800000000000` for `last_seen`: {TIME}"),
            ),
            (
                "created_at<4102444800000",
                format!("invalid time `4102444800000` for `created_at`: {TIME}"),
            ),
            (
                "created_at=in=(2026-05-01T12:00:00Z,2100-01-01T00:00:00Z)",
                format!("invalid time `2100-01-01T00:00:00Z` for `created_at`: {TIME}"),
            ),
            // Before every device.
            (
                "created_at>=-5",
                format!("invalid time `-5` for `created_at`: {TIME}"),
            ),
            (
                "last_seen>0",
                format!("invalid time `0` for `last_seen`: {TIME}"),
            ),
            (
                "last_seen!=946684799999",
                format!("invalid time `946684799999` for `last_seen`: {TIME}"),
            ),
            (
                "last_seen>1970-01-01T00:00:01Z",
                format!("invalid time `1970-01-01T00:00:01Z` for `last_seen`: {TIME}"),
            ),
            (
                "created_at=out=(2026-05-01T12:00:00Z,1777636800)",
                format!("invalid time `1777636800` for `created_at`: {TIME}"),
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
            let stored = SelectorText {
                text: text.to_owned(),
                syntax: Syntax::V1,
            };
            assert!(stored.parse(&DEVICE_FIELDS).is_ok(), "{text}");
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
            r"name>a\*",
            r#"name>"a\*""#,
            "attribute.floor==''",
            "sw_version==*",
            "last_seen>946684800000;last_seen<1777636800000;created_at<=4102444799999",
            "last_seen>2000-01-01T00:00:00Z;created_at=out=(2099-12-31T23:59:59Z)",
        ] {
            assert!(parse(text, &DEVICE_FIELDS).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_stored_selector_of_the_second_syntax_keeps_its_times() {
        let parse_stored = |text: &str| {
            let stored = SelectorText {
                text: text.to_owned(),
                syntax: Syntax::V2,
            };
            stored.parse(&DEVICE_FIELDS)
        };
        for text in [
            "last_seen>0;last_seen<1777636800000000;created_at>=-5",
            "last_seen>1970-01-01T00:00:01Z",
        ] {
            assert!(parse_stored(text).is_ok(), "{text}");
            assert!(parse(text, &DEVICE_FIELDS).is_err(), "{text}");
        }
        let early = parse_stored("created_at>=-5");
        let Ok(Selector::Compare(early)) = early else {
            panic!("a comparison")
        };
        assert_eq!(early.values, [Value::Exact("-5".to_owned())]);
        for text in ["last_seen>2026", "mode!=manuel"] {
            assert!(parse_stored(text).is_err(), "{text}");
        }
    }
}
