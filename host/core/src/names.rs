//! Canonical names of enums. strum derives them from the variants, and parses them.

/// An enum whose variants have names: the same in SQL, REST, DDI, the journals and on the command line. It is parsed back
/// by [`FromStr`](std::str::FromStr).
pub trait Named {
    /// Name of the variant.
    fn as_str(&self) -> &'static str;
}

impl<T> Named for T
where
    for<'a> &'a T: Into<&'static str>,
{
    fn as_str(&self) -> &'static str {
        self.into()
    }
}
