/// Maximum length of a selector, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Maximum nesting of parentheses.
pub const MAX_DEPTH: usize = 32;
/// Maximum comparisons of a selector, and maximum values of one `=in=` or `=out=`.
pub const MAX_COMPARISONS: usize = 256;

/// Why a selector cannot be parsed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the selector is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// Deeper than [`MAX_DEPTH`] or wider than [`MAX_COMPARISONS`].
    #[error("the selector has more than {MAX_DEPTH} levels or {MAX_COMPARISONS} comparisons")]
    TooComplex,
    /// Unexpected input.
    #[error("expected {expected} at byte {at}")]
    Expected {
        /// What was expected.
        expected: &'static str,
        /// Byte offset from 0.
        at: usize,
    },
    /// Unknown field.
    #[error("unknown field `{field}`; known fields: {known}")]
    UnknownField {
        /// The field.
        field: String,
        /// The known fields, comma-separated.
        known: String,
    },
    /// A value of a time field that is not a time, or one that no device can have: a number in seconds, microseconds or
    /// nanoseconds is far from the present when it is read as milliseconds.
    #[error(
        "invalid time `{value}` for `{field}`: must be RFC 3339, such as 2026-05-01T12:00:00Z, or milliseconds since 1970, \
         from 2000 to 2099"
    )]
    NotATime {
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
    /// A value that the field cannot have.
    #[error("invalid value `{value}` for `{field}`: must be {expected}")]
    InvalidValue {
        /// The field.
        field: String,
        /// The value.
        value: String,
        /// What the value must be.
        expected: String,
    },
    /// A comparison by order of a field that has no order.
    #[error(
        "invalid comparison of `{field}` with `{value}`: it has no order, use `==`, `!=`, `=in=` or `=out=`"
    )]
    NotOrdered {
        /// The field.
        field: String,
        /// The value.
        value: String,
    },
}
