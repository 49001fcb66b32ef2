//! libconfig syntax as far as `sw-description` may use it: without `@include`.
//!
//! Groups become objects; lists and arrays become arrays. Numbers are parsed but not used.

use serde_json::{Map, Number, Value};

/// Maximum nesting.
const MAX_DEPTH: usize = 32;
/// Maximum number of values.
const MAX_VALUES: usize = 50_000;

/// Parses settings. The error names the line and the expectation.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let mut parser = Parser {
        text,
        at: 0,
        values: 0,
    };
    let settings = parser.settings(0)?;
    if parser.at < text.len() {
        return Err(parser.expected("the name of a setting"));
    }
    Ok(settings)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    values: usize,
}

impl Parser<'_> {
    /// Any number of `name = value;`.
    fn settings(&mut self, depth: usize) -> Result<Map<String, Value>, String> {
        let mut settings = Map::new();
        loop {
            self.skip_whitespace()?;
            let Some(name) = self.name() else {
                return Ok(settings);
            };
            self.skip_whitespace()?;
            if !self.take(':') && !self.take('=') {
                return Err(self.expected("`:` or `=`"));
            }
            let value = self.value(depth)?;
            if settings.contains_key(&name) {
                return Err(self.error_at_line(&format!("`{name}` is repeated")));
            }
            settings.insert(name, value);
            self.skip_whitespace()?;
            let _ended = self.take(';') || self.take(',');
        }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(format!("more than {MAX_VALUES} values"));
        }
        if depth == MAX_DEPTH {
            return Err(self.error_at_line(&format!("more than {MAX_DEPTH} levels of nesting")));
        }
        self.skip_whitespace()?;
        if self.take('{') {
            let group = self.settings(depth + 1)?;
            return self.expect_close('}').map(|()| Value::Object(group));
        }
        if self.take('[') {
            return self.items(']', depth + 1);
        }
        if self.take('(') {
            return self.items(')', depth + 1);
        }
        if self.rest().starts_with('"') {
            return self.string().map(Value::String);
        }
        self.scalar()
    }

    /// Comma-separated values up to a bracket.
    fn items(&mut self, end: char, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        loop {
            self.skip_whitespace()?;
            if self.rest().starts_with(end) {
                break;
            }
            items.push(self.value(depth)?);
            self.skip_whitespace()?;
            if !self.take(',') {
                break;
            }
        }
        self.expect_close(end).map(|()| Value::Array(items))
    }

    fn expect_close(&mut self, end: char) -> Result<(), String> {
        self.skip_whitespace()?;
        if self.take(end) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{end}`")))
        }
    }

    /// Adjacent strings are concatenated.
    fn string(&mut self) -> Result<String, String> {
        let mut string = String::new();
        while self.take('"') {
            loop {
                let Some(next) = self.next() else {
                    return Err(self.expected("`\"`"));
                };
                match next {
                    '"' => break,
                    '\\' => string.push(self.escape()?),
                    other => string.push(other),
                }
            }
            self.skip_whitespace()?;
        }
        Ok(string)
    }

    fn escape(&mut self) -> Result<char, String> {
        let escape = match self.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('f') => '\u{c}',
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('v') => '\u{b}',
            Some(same @ ('"' | '\\')) => same,
            Some('x') => {
                let digits = self
                    .rest()
                    .get(..2)
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let byte = digits
                    .filter(u8::is_ascii)
                    .ok_or_else(|| self.expected("two hexadecimal digits of ASCII"))?;
                self.at += 2;
                char::from(byte)
            }
            _ => return Err(self.error_at_line("invalid escape sequence")),
        };
        Ok(escape)
    }

    /// A boolean or a number.
    fn scalar(&mut self) -> Result<Value, String> {
        let word = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        let length = self.rest().chars().take_while(word).count();
        let word = &self.rest()[..length];
        let value = if word.eq_ignore_ascii_case("true") {
            Some(Value::Bool(true))
        } else if word.eq_ignore_ascii_case("false") {
            Some(Value::Bool(false))
        } else {
            number(word).map(Value::Number)
        };
        let value = value.ok_or_else(|| self.expected("a value"))?;
        self.at += length;
        Ok(value)
    }

    fn name(&mut self) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '*') {
            return None;
        }
        let is_inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '*');
        let length = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        let name = rest[..length].to_owned();
        self.at += length;
        Some(name)
    }

    /// Skips white space and comments.
    fn skip_whitespace(&mut self) -> Result<(), String> {
        loop {
            let rest = self.rest();
            let blank = rest.len() - rest.trim_start().len();
            let rest = &rest[blank..];
            let comment = if rest.starts_with('#') || rest.starts_with("//") {
                rest.find('\n').unwrap_or(rest.len())
            } else if let Some(inside) = rest.strip_prefix("/*") {
                let end = inside.find("*/").ok_or_else(|| self.expected("`*/`"))?;
                end + 4
            } else {
                0
            };
            self.at += blank + comment;
            if comment == 0 {
                return Ok(());
            }
        }
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest().chars().next()?;
        self.at += next.len_utf8();
        Some(next)
    }

    fn take(&mut self, expected: char) -> bool {
        let has = self.rest().starts_with(expected);
        if has {
            self.at += expected.len_utf8();
        }
        has
    }

    fn expected(&self, what: &str) -> String {
        self.error_at_line(&format!("expected {what}"))
    }

    fn error_at_line(&self, what: &str) -> String {
        let line = 1 + self.text[..self.at].matches('\n').count();
        format!("line {line}: {what}")
    }
}

/// Decimal, hexadecimal, octal and binary integers, with an `L` for 64 bits, and floats.
fn number(word: &str) -> Option<Number> {
    let integer = word.trim_end_matches(['L', 'l']);
    for (prefix, radix) in [
        ("0x", 16),
        ("0X", 16),
        ("0b", 2),
        ("0B", 2),
        ("0o", 8),
        ("0q", 8),
    ] {
        if let Some(digits) = integer.strip_prefix(prefix) {
            return u64::from_str_radix(digits, radix).ok().map(Number::from);
        }
    }
    if let Ok(number) = integer.parse::<i64>() {
        return Some(number.into());
    }
    let is_number = word.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
    is_number
        .then(|| word.parse().ok().and_then(Number::from_f64))
        .flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_read() {
        let text = r#"
            # a comment
            a = 1; b: "two" "parts", // another
            c = [ "x", "y" ];
            d = ( { e = true; }, 0x1F, -7L, 1.5e3, () ) /* and
            a third */
            group-1 : { inner = "a\n\"b\"\x41\\"; };
            *star = FALSE
            empty = { }
        "#;
        let expected = json!({
            "a": 1, "b": "twoparts", "c": ["x", "y"],
            "d": [{ "e": true }, 31, -7, 1500.0, []],
            "group-1": { "inner": "a\n\"b\"A\\" },
            "*star": false, "empty": {},
        });
        assert_eq!(parse(text).map(Value::Object), Ok(expected));
        assert_eq!(parse(" # nothing"), Ok(Map::new()));
    }

    #[test]
    fn errors_name_the_line() {
        let deep = format!("a = {}", "(".repeat(100_000));
        let many = format!("a = [{}];", "1,".repeat(60_000));
        for (text, expected) in [
            ("a", "line 1: expected `:` or `=`"),
            ("a = 1;\nb = ;", "line 2: expected a value"),
            ("a = 1; a = 2;", "`a` is repeated"),
            ("a = \"open", "expected `\"`"),
            ("a = \"\\q\"", "invalid escape"),
            ("a = \"\\xff\"", "two hexadecimal digits"),
            ("a = \"\\x4", "two hexadecimal digits"),
            ("a = [1, 2", "expected `]`"),
            ("a = { b = 1; ", "expected `}`"),
            ("a = 1; }", "expected the name of a setting"),
            ("/* open", "expected `*/`"),
            ("@include \"/etc/passwd\"", "expected the name of a setting"),
            ("a = é;", "expected a value"),
            ("a = nan;", "expected a value"),
            (&deep, "more than 32 levels"),
            (&many, "more than 50000 values"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(expected), "{text:.40}: {error}");
        }
    }
}
