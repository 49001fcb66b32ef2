//! Bounds on text that plugins write.

/// Bytes of a reason, and of whatever else is one sentence.
pub(crate) const MAX_REASON_BYTES: usize = 1 << 10;

/// The text's first bytes, at most so many, cut between characters.
pub(crate) fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
