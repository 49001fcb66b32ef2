use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters to escape in an extended value (RFC 8187).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// `Content-Disposition` with a file name. It is quoted only if necessary, and has an extended value (`filename*`) if
/// the name is not printable ASCII.
pub(crate) fn attachment(filename: &str) -> HeaderValue {
    let plain: String = filename
        .chars()
        .map(|c| {
            if c == ' ' || c.is_ascii_graphic() {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut text = "attachment;filename=".to_owned();
    if plain.contains(|c: char| " ()<>@,;:\\\"/[]?=".contains(c)) {
        text.push('"');
        for c in plain.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    } else {
        text.push_str(&plain);
    }
    if plain != filename {
        text.push_str(";filename*=UTF-8''");
        text.extend(utf8_percent_encode(filename, ENCODED));
    }
    // The text has only graphic characters and spaces.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_where_necessary() {
        for (name, expected) in [
            ("edge-1.2.0.bin", "attachment;filename=edge-1.2.0.bin"),
            ("a b.bin", r#"attachment;filename="a b.bin""#),
            (r#"a"b.bin"#, r#"attachment;filename="a\"b.bin""#),
            (
                "ü.bin",
                "attachment;filename=_.bin;filename*=UTF-8''%C3%BC.bin",
            ),
            (
                "a\r\nb",
                "attachment;filename=a__b;filename*=UTF-8''a%0D%0Ab",
            ),
        ] {
            assert_eq!(attachment(name), expected);
        }
    }
}
