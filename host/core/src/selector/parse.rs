use super::{
    Comparison, FieldKind, Fields, MAX_COMPARISONS, MAX_DEPTH, MAX_LENGTH, Operator, ParseError,
    Selector, Syntax, Value,
    check::{check, check_time, not_a_time},
};
use crate::time::Timestamp;

/// Parses a selector over `fields`.
pub fn parse(text: &str, fields: &Fields) -> Result<Selector, ParseError> {
    parse_as(text, fields, Syntax::CURRENT)
}

/// Parses a selector over `fields` by the rules of `syntax`.
pub(super) fn parse_as(
    text: &str,
    fields: &Fields,
    syntax: Syntax,
) -> Result<Selector, ParseError> {
    if text.len() > MAX_LENGTH {
        return Err(ParseError::TooLong);
    }
    let mut parser = Parser {
        text,
        at: 0,
        fields,
        syntax,
        comparisons: 0,
    };
    let selector = parser.any(0)?;
    parser.skip_spaces();
    if parser.at < text.len() {
        return Err(parser.expected("`;`, `,` or the end"));
    }
    Ok(selector)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    fields: &'a Fields,
    syntax: Syntax,
    comparisons: usize,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Selector, ParseError> {
        let mut terms = vec![self.all(depth)?];
        while self.take_connective(",", "or") {
            terms.push(self.all(depth)?);
        }
        Ok(one_or(terms, Selector::Or))
    }

    fn all(&mut self, depth: usize) -> Result<Selector, ParseError> {
        let mut terms = vec![self.term(depth)?];
        while self.take_connective(";", "and") {
            terms.push(self.term(depth)?);
        }
        Ok(one_or(terms, Selector::And))
    }

    fn term(&mut self, depth: usize) -> Result<Selector, ParseError> {
        if depth >= MAX_DEPTH || self.comparisons >= MAX_COMPARISONS {
            return Err(ParseError::TooComplex);
        }
        self.skip_spaces();
        if !self.take("(") {
            return self.comparison().map(Selector::Compare);
        }
        let inner = self.any(depth + 1)?;
        self.skip_spaces();
        if self.take(")") {
            Ok(inner)
        } else {
            Err(self.expected("`)`"))
        }
    }

    fn comparison(&mut self) -> Result<Comparison, ParseError> {
        self.comparisons += 1;
        let field = self.field()?;
        let kind = self
            .fields
            .kind(&field)
            .ok_or_else(|| self.unknown(&field))?;
        self.skip_spaces();
        let operator = self.operator()?;
        self.skip_spaces();
        let written = match operator {
            Operator::In | Operator::Out => self.list()?,
            _ => vec![self.value()?],
        };
        let mut values = Vec::with_capacity(written.len());
        for parts in written {
            if self.syntax.checks_values() {
                check(&field, kind, operator, &parts)?;
            }
            values.push(value(&field, kind, operator, parts, self.syntax)?);
        }
        Ok(Comparison {
            field,
            kind,
            operator,
            values,
        })
    }

    fn field(&mut self) -> Result<String, ParseError> {
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-');
        let field = self.run(allowed);
        if field.is_empty() {
            Err(self.expected("a field name"))
        } else {
            Ok(field)
        }
    }

    fn operator(&mut self) -> Result<Operator, ParseError> {
        // Longer operators first, so that `<=` is not read as `<`.
        const OPERATORS: [(&str, Operator); 12] = [
            ("==", Operator::Equal),
            ("!=", Operator::NotEqual),
            ("=lt=", Operator::Less),
            ("=le=", Operator::LessOrEqual),
            ("=gt=", Operator::Greater),
            ("=ge=", Operator::GreaterOrEqual),
            ("=in=", Operator::In),
            ("=out=", Operator::Out),
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        let found = OPERATORS.iter().find(|(spelling, _)| self.take(spelling));
        found
            .map(|(_, operator)| *operator)
            .ok_or_else(|| self.expected("a comparison such as `==` or `=lt=`"))
    }

    fn list(&mut self) -> Result<Vec<Vec<String>>, ParseError> {
        if !self.take("(") {
            return Err(self.expected("`(`"));
        }
        let mut values = Vec::new();
        loop {
            self.skip_spaces();
            values.push(self.value()?);
            self.skip_spaces();
            match () {
                () if self.take(")") => return Ok(values),
                () if values.len() >= MAX_COMPARISONS => return Err(ParseError::TooComplex),
                () if self.take(",") => {}
                () => return Err(self.expected("`,` or `)`")),
            }
        }
    }

    /// A value as the texts between its wildcards.
    fn value(&mut self) -> Result<Vec<String>, ParseError> {
        for quote in ['"', '\''] {
            if self.text[self.at..].starts_with(quote) {
                return self.quoted(quote);
            }
        }
        let value = self.run(|c| !c.is_whitespace() && !"\"'();,=!~<>".contains(c));
        if value.is_empty() {
            Err(self.expected("a value"))
        } else {
            let mut parts = value.split('*').map(str::to_owned);
            let mut joined = vec![parts.next().unwrap_or_default()];
            for part in parts {
                match joined.last_mut() {
                    // Without quotes, a backslash escapes only a star.
                    Some(before) if self.syntax.escapes_stars() && before.ends_with('\\') => {
                        before.pop();
                        before.push('*');
                        before.push_str(&part);
                    }
                    _ => joined.push(part),
                }
            }
            Ok(joined)
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Vec<String>, ParseError> {
        let (mut parts, mut part) = (Vec::new(), String::new());
        let mut escaped = false;
        for (offset, c) in self.text[self.at + 1..].char_indices() {
            match c {
                '*' if escaped && !self.syntax.escapes_stars() => {
                    parts.push(std::mem::take(&mut part));
                    escaped = false;
                }
                _ if escaped => {
                    part.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                c if c == quote => {
                    self.at += 1 + offset + 1;
                    parts.push(part);
                    return Ok(parts);
                }
                '*' => parts.push(std::mem::take(&mut part)),
                c => part.push(c),
            }
        }
        self.at = self.text.len();
        Err(self.expected("the closing quote"))
    }

    fn take_connective(&mut self, sign: &str, word: &str) -> bool {
        let before = self.at;
        self.skip_spaces();
        if self.take(sign) {
            return true;
        }
        let spaced = self.at > before;
        if spaced && self.take(word) && self.text[self.at..].starts_with([' ', '(']) {
            return true;
        }
        self.at = before;
        false
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.text[self.at..].starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    fn run(&mut self, allowed: impl Fn(char) -> bool) -> String {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !allowed(c)).unwrap_or(rest.len());
        self.at += end;
        rest[..end].to_owned()
    }

    fn skip_spaces(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
    }

    fn expected(&self, expected: &'static str) -> ParseError {
        ParseError::Expected {
            expected,
            at: self.at,
        }
    }

    fn unknown(&self, field: &str) -> ParseError {
        let names = self.fields.names.iter().map(|(name, _)| (*name).to_owned());
        let prefixes = self
            .fields
            .prefixes
            .iter()
            .map(|prefix| format!("{prefix}*"));
        let known = names.chain(prefixes).collect::<Vec<_>>().join(", ");
        ParseError::UnknownField {
            field: field.to_owned(),
            known,
        }
    }
}

/// The value of a comparison, from the texts between its wildcards. Only texts, words and versions have patterns, and
/// only if they are compared for equality.
fn value(
    field: &str,
    kind: FieldKind,
    operator: Operator,
    parts: Vec<String>,
    syntax: Syntax,
) -> Result<Value, ParseError> {
    use Operator::{Equal, In, NotEqual, Out};
    if kind == FieldKind::Time {
        let value = parts.join("*");
        let time = millis(&value).ok_or_else(|| not_a_time(field, &value))?;
        if syntax.bounds_times() {
            check_time(field, Timestamp(time), &value)?;
        }
        return Ok(Value::Exact(time.to_string()));
    }
    let is_pattern = parts.len() > 1 && matches!(operator, Equal | NotEqual | In | Out);
    Ok(if is_pattern {
        Value::Pattern(parts)
    } else {
        Value::Exact(parts.join("*"))
    })
}

/// Milliseconds of an RFC 3339 time, or of a number that is milliseconds since 1970.
fn millis(value: &str) -> Option<i64> {
    let moment = || value.parse::<jiff::Timestamp>().ok();
    value
        .parse()
        .ok()
        .or_else(|| moment().map(jiff::Timestamp::as_millisecond))
}

fn one_or(mut terms: Vec<Selector>, many: impl FnOnce(Vec<Selector>) -> Selector) -> Selector {
    match terms.len() {
        1 => terms.remove(0),
        _ => many(terms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_fields::DEVICE_FIELDS;

    fn check(text: &str) -> Result<Selector, ParseError> {
        parse(text, &DEVICE_FIELDS)
    }

    #[test]
    fn and_binds_tighter_than_or() {
        let Ok(Selector::Or(terms)) = check("hw_model==a;feed==b,name==c") else {
            panic!("an or of two")
        };
        assert!(
            matches!(&terms[..], [Selector::And(both), Selector::Compare(_)] if both.len() == 2)
        );
        assert_eq!(
            check("hw_model==a and feed==b or name==c"),
            Ok(Selector::Or(terms))
        );
    }

    #[test]
    fn values_may_be_quoted() {
        let Ok(Selector::Compare(comparison)) = check(r#"name=="it's; \"fine\"""#) else {
            panic!("a comparison")
        };
        assert_eq!(
            comparison.values,
            [Value::Exact(r#"it's; "fine""#.to_owned())]
        );
    }

    #[test]
    fn a_time_is_milliseconds_however_it_is_written() {
        for (written, expected) in [
            ("2026-05-01T12:00:00Z", "1777636800000"),
            ("2026-05-01T12:00:00.120Z", "1777636800120"),
            ("2026-05-01T14:00:00+02:00", "1777636800000"),
            ("1777636800000", "1777636800000"),
            ("946684800000", "946684800000"),
        ] {
            let Ok(Selector::Compare(comparison)) = check(&format!("created_at=ge={written}"))
            else {
                panic!("a comparison: {written}")
            };
            assert_eq!(
                comparison.values,
                [Value::Exact(expected.to_owned())],
                "{written}"
            );
        }
    }

    #[test]
    fn parse_errors_name_the_position() {
        for (text, message) in [
            ("", "expected a field name at byte 0"),
            (
                "hw_model",
                "expected a comparison such as `==` or `=lt=` at byte 8",
            ),
            ("hw_model==", "expected a value at byte 10"),
            ("(hw_model==a", "expected `)` at byte 12"),
            ("hw_model==a)", "expected `;`, `,` or the end at byte 11"),
            ("name=='a", "expected the closing quote at byte 8"),
            ("name=in=a", "expected `(` at byte 8"),
            (
                "last_seen=gt=soon",
                "invalid time `soon` for `last_seen`: must be RFC 3339, such as 2026-05-01T12:00:00Z, or milliseconds since 1970, from 2000 to 2099",
            ),
            // A time without a zone is ambiguous. A `+` in a query string arrives as a space.
            (
                "last_seen=gt='2026-05-01T12:00:00'",
                "invalid time `2026-05-01T12:00:00` for `last_seen`: must be RFC 3339, such as 2026-05-01T12:00:00Z, or \
                 milliseconds since 1970, from 2000 to 2099",
            ),
            (
                "last_seen=gt=2026-05-01T12:00:00 02:00",
                "invalid time `2026-05-01T12:00:00` for `last_seen`: must be RFC 3339, such as 2026-05-01T12:00:00Z, or \
                 milliseconds since 1970, from 2000 to 2099",
            ),
        ] {
            assert_eq!(
                check(text).map_err(|error| error.to_string()),
                Err(message.to_owned()),
                "{text}"
            );
        }
        assert!(check("colour==red").is_err_and(|error| error.to_string().contains("hw_model")));
        assert_eq!(check(&"(".repeat(100)), Err(ParseError::TooComplex));
        assert_eq!(check(&"x".repeat(5000)), Err(ParseError::TooLong));
    }

    #[test]
    fn fuzz_selector() {
        bolero::check!(name = "selector").for_each(|bytes: &[u8]| {
            let _ = check(&String::from_utf8_lossy(bytes));
        });
    }
}
