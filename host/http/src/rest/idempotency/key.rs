/// The value of `Idempotency-Key`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IdempotencyKey(pub(super) String);

/// In characters.
const MAX_KEY_LENGTH: usize = 255;
/// The values of the header: a bare key, or one in quotes.
pub(super) const KEY_PATTERN: &str = r#"^([!#-~][!-~]{0,254}|"([!#-\[\]-~]|\\["\\]){1,255}")$"#;

impl IdempotencyKey {
    /// Parses the header's value: the bare key, or an RFC 9651 string in quotes. Both mean the same key.
    pub(super) fn parse(value: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(value).ok();
        let text = text.ok_or("must consist of visible ASCII characters")?;
        let key = match text.strip_prefix('"') {
            Some(rest) => unquote(rest).ok_or("is not a valid quoted string")?,
            None => text.to_owned(),
        };
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("must consist of visible ASCII characters");
        }
        if !(1..=MAX_KEY_LENGTH).contains(&key.len()) {
            return Err("must have 1 to 255 characters");
        }
        Ok(Self(key))
    }
}

/// The content of a quoted string whose opening quote has been removed; none if it is malformed.
fn unquote(rest: &str) -> Option<String> {
    let mut key = String::with_capacity(rest.len());
    let mut chars = rest.chars();
    loop {
        match chars.next()? {
            '"' => break,
            '\\' => match chars.next()? {
                escaped @ ('"' | '\\') => key.push(escaped),
                _ => return None,
            },
            c => key.push(c),
        }
    }
    chars.next().is_none().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_bare_or_in_quotes() {
        let longest = "k".repeat(MAX_KEY_LENGTH);
        let schema = serde_json::json!({"type": "string", "pattern": KEY_PATTERN});
        let documented = jsonschema::validator_for(&schema).expect("a schema");
        for (value, expected) in [
            ("8e03978e-40d5-43e8", Some("8e03978e-40d5-43e8")),
            (r#""8e03978e-40d5-43e8""#, Some("8e03978e-40d5-43e8")),
            (r#"a"b"#, Some(r#"a"b"#)),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (r"a\b", Some(r"a\b")),
            (&longest, Some(&longest)),
            (&format!("\"{longest}\""), Some(&longest)),
            ("", None),
            (r#""""#, None),
            (r#"""#, None),
            (r#""a"#, None),
            (r#""a\""#, None),
            (r#""a\n""#, None),
            (r#""a";b=1"#, None),
            (r#""a", "b""#, None),
            ("a b", None),
            (r#""a b""#, None),
            ("a\tb", None),
            ("a\u{7f}", None),
            ("é", None),
            (&format!("{longest}k"), None),
        ] {
            let key = IdempotencyKey::parse(value.as_bytes()).ok();
            let key = key.as_ref().map(|key| &*key.0);
            assert_eq!(key, expected, "{value}");
            let is_documented = documented.is_valid(&value.into());
            assert_eq!(is_documented, expected.is_some(), "{value}");
        }
        assert!(IdempotencyKey::parse(b"\xff").is_err());
    }
}
