//! Bounds of texts from plugins.

/// Maximum size of a reason, and of other texts of one sentence.
pub(crate) const MAX_REASON_BYTES: usize = 1 << 10;

/// Truncates a text to a number of bytes, at a character boundary.
pub(crate) fn truncate(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}
