use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use tidegate_core::time::Timestamp;

/// Larger dates are refused; in seconds. It is in the year 5138.
const MAX_SECONDS: f64 = 1e11;

/// A time in a JWT: seconds since 1970, with a fraction or without (RFC 7519, section 2).
#[derive(Debug, Clone, Copy)]
pub(super) struct NumericDate(pub(super) Timestamp);

impl Serialize for NumericDate {
    /// Whole seconds.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(self.0.0.div_euclid(1000))
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(from)?;
        if !(-MAX_SECONDS..=MAX_SECONDS).contains(&seconds) {
            return Err(D::Error::custom("a date out of range"));
        }
        Ok(Self(Timestamp((seconds * 1000.0).round() as i64)))
    }
}
