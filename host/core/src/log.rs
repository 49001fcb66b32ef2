//! The log of an update: lines of text that the device sends during the update, in order and bounded in number.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::{time::Timestamp, visible_text::is_harmful};

/// Number of newest lines kept for one update.
pub const MAX_LINES: u64 = 2000;
/// Maximum length of a line, in characters.
pub const MAX_LINE_CHARS: usize = 1024;

/// One line of an update's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Number of the line in its update, from 1. Dropped lines are counted too.
    pub number: u64,
    /// Time of arrival.
    pub at: Timestamp,
    /// Origin of the line.
    pub source: LogSource,
    /// Text without a line ending.
    pub text: String,
}

/// Origin of a log line.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum LogSource {
    /// A message of a device's feedback.
    Feedback,
    /// A line that the device wrote to the log.
    Device,
    /// An entry of the server about an operator's action.
    Host,
}

/// Splits a text into log lines: drops empty lines, truncates long ones, replaces harmful characters (terminals would
/// interpret them) and keeps only the newest [`MAX_LINES`].
pub fn lines(text: &str) -> Vec<String> {
    let kept = text
        .split(['\n', '\r'])
        .rev()
        .filter(|line| !line.trim().is_empty())
        .take(MAX_LINES as usize);
    let mut lines: Vec<String> = kept.map(line).collect();
    lines.reverse();
    lines
}

fn line(text: &str) -> String {
    let harmless = |c: char| match c {
        '\t' => ' ',
        c if is_harmful(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    text.trim_end()
        .chars()
        .take(MAX_LINE_CHARS)
        .map(harmless)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_split_into_sanitized_lines() {
        for (text, expected) in [
            ("", &[][..]),
            ("\r\n \n", &[]),
            ("a\nb", &["a", "b"]),
            ("a\r\n\r\n  b  \r", &["a", "  b"]),
            ("\u{1b}[31mred\0\tend", &["\u{fffd}[31mred\u{fffd} end"]),
            ("\u{9b}2J\u{202e}dne\u{2028}", &["\u{fffd}2J\u{fffd}dne"]),
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
        assert_eq!(lines(&"ü".repeat(2000)), ["ü".repeat(MAX_LINE_CHARS)]);
        let many: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
        assert_eq!(lines(&many.join("\n")), many[1000..]);
    }
}
