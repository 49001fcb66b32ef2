//! Characters that deceive where text is shown, and how they are made visible.
//!
//! Devices, publishers, plugins and other servers choose texts that operators read on terminals and in logs. A terminal
//! acts on control characters, and bidirectional characters change the order in which text is read.

use std::{borrow::Cow, fmt::Write as _};

use icu_properties::{
    CodePointSetData,
    props::{BidiControl, DefaultIgnorableCodePoint},
};

/// True for a character that acts where it is shown instead of being seen: a control character, a line or paragraph
/// separator, or a bidirectional control.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}')
        || (!c.is_ascii() && CodePointSetData::new::<BidiControl>().contains(c))
}

/// True for a character that leaves no mark where it is shown, so that two texts look equal: white space, or one that
/// Unicode lets a display ignore, such as U+200B.
pub fn is_invisible(c: char) -> bool {
    c.is_whitespace()
        || c == '\u{2800}'
        || (!c.is_ascii() && CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c))
}

/// The text with each harmful character as an escape such as `\n` or `\u{1b}`, so that it is one line.
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, is_harmful)
}

/// Like [`visible`], for text of several lines that is shown in one: line breaks, with the white space around them, become
/// a space.
pub fn visible_in_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return visible(text);
    }
    Cow::Owned(visible(&in_one_line(text.lines())).into_owned())
}

/// Lines with a space between them, without the white space around them and without empty ones.
pub fn in_one_line<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines = lines.map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ")
}

/// Like [`visible`], but keeps line feeds: for text whose lines the program itself has composed.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c != '\n' && is_harmful(c))
}

/// A JSON document with each harmful character in its strings as JSON's own escape (`\u009b`), so that it has the same
/// value. JSON has no such characters outside of strings, except for the line feeds of indentation, which stay.
pub fn visible_json(json: &str) -> Cow<'_, str> {
    let is_harmful = |c: char| c != '\n' && is_harmful(c);
    replace(json, is_harmful, |escaped, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(escaped, "\\u{unit:04x}");
        }
    })
}

fn escape(text: &str, is_harmful: impl Fn(char) -> bool) -> Cow<'_, str> {
    replace(text, is_harmful, |escaped, c| {
        escaped.extend(c.escape_default());
    })
}

fn replace(
    text: &str,
    is_harmful: impl Fn(char) -> bool,
    push_escape: impl Fn(&mut String, char),
) -> Cow<'_, str> {
    if !text.contains(&is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_harmful(c) {
            push_escape(&mut escaped, c);
        } else {
            escaped.push(c);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARMFUL: [char; 17] = [
        '\0', '\u{7}', '\u{8}', '\t', '\n', '\r', '\u{1b}', '\u{7f}', '\u{85}', '\u{9b}',
        '\u{61c}', '\u{200e}', '\u{200f}', '\u{2028}', '\u{2029}', '\u{202e}', '\u{2066}',
    ];

    #[test]
    fn harmful_characters_become_escapes() {
        for (text, expected) in [
            ("", ""),
            (
                "Zürich 東京 🦀 a\\b 'c' \"d\"",
                "Zürich 東京 🦀 a\\b 'c' \"d\"",
            ),
            ("\u{1b}[2Jgone\u{7}", "\\u{1b}[2Jgone\\u{7}"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{9b}31m \u{202e}gnp.exe", "\\u{9b}31m \\u{202e}gnp.exe"),
            // Invisible, but it neither acts nor reorders: joiners are part of words.
            ("می\u{200c}خواهم", "می\u{200c}خواهم"),
        ] {
            assert_eq!(visible(text), expected, "{text:?}");
        }
        for c in HARMFUL {
            assert!(is_harmful(c), "{c:?}");
            assert!(!visible(&format!("a{c}b")).contains(c), "{c:?}");
        }
    }

    #[test]
    fn several_lines_become_one() {
        for (text, expected) in [
            ("", ""),
            ("one \u{1b}line", "one \\u{1b}line"),
            (
                "panicked at src/lib.rs:7:9:\nempty plan",
                "panicked at src/lib.rs:7:9: empty plan",
            ),
            (
                "left != right\r\n  left: 1\n\n right: \u{9b}2\n",
                "left != right left: 1 right: \\u{9b}2",
            ),
            ("\n", ""),
        ] {
            assert_eq!(visible_in_one_line(text), expected, "{text:?}");
        }
    }

    #[test]
    fn lines_are_kept_where_the_program_composed_them() {
        assert_eq!(visible_lines("a\nb\r\n\u{1b}c"), "a\nb\\r\n\\u{1b}c");
    }

    #[test]
    fn escaped_json_has_the_same_value() {
        for c in HARMFUL {
            let json = format!("{{\n  \"a\": \"{}\"\n}}", if c < ' ' { ' ' } else { c });
            let escaped = visible_json(&json);
            assert!(!escaped.contains(|c| c != '\n' && is_harmful(c)), "{c:?}");
        }
        assert_eq!(visible_json("\"\u{9b}\u{202e}\""), r#""\u009b\u202e""#);
    }

    #[test]
    fn characters_that_leave_no_mark_are_invisible() {
        for c in [
            ' ',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{2800}',
            '\u{3164}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{e0041}',
        ] {
            assert!(is_invisible(c), "{c:?}");
        }
        for c in ['a', '.', '~', 'ü', '東', '🦀'] {
            assert!(!is_invisible(c) && !is_harmful(c), "{c:?}");
        }
    }
}
