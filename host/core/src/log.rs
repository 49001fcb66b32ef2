//! The live log of an update: lines of text that its device sends while it is at it, kept in order and bounded.

use crate::time::Timestamp;

/// Newest lines that are kept of one update.
pub const MAX_LINES: u64 = 2000;
/// Longest line that is kept, in characters.
pub const MAX_LINE_CHARS: usize = 1024;

/// One line of an update's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Counts the lines of the update from 1, those that are not kept any more too.
    pub number: u64,
    /// When it arrived.
    pub at: Timestamp,
    /// Who wrote it.
    pub source: LogSource,
    /// Without its end.
    pub text: String,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogSource {
    /// The device, as a detail of its feedback.
    Feedback,
    /// The device, as a line of its log.
    Device,
    /// The host: what an operator did.
    Host,
}

impl LogSource {
    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Feedback => "feedback",
            Self::Device => "device",
            Self::Host => "host",
        }
    }

    /// The source of this name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Feedback, Self::Device, Self::Host]
            .into_iter()
            .find(|source| source.as_str() == text)
    }
}

/// The lines of a text as they are kept: without empty ones, cut where they are too long, without characters that steer
/// terminals, and only the newest [`MAX_LINES`].
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
        c if c.is_control() => char::REPLACEMENT_CHARACTER,
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
        ] {
            assert_eq!(lines(text), expected, "{text:?}");
        }
        assert_eq!(lines(&"ü".repeat(2000)), ["ü".repeat(MAX_LINE_CHARS)]);
        let many: Vec<String> = (0..3000).map(|n| n.to_string()).collect();
        assert_eq!(lines(&many.join("\n")), many[1000..]);
    }
}
