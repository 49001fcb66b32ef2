//! Parts of a token that `jsonwebtoken` takes for missing if they have another type than the standard says.

use jsonwebtoken::dangerous::insecure_decode_claims;
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

/// The claim `aud` (RFC 7519, section 4.1.3).
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Audience {
    One(String),
    Many(Vec<String>),
}

/// A claim that may be left out, but is not null.
pub(super) fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// The part of a header that matters here.
#[derive(Deserialize)]
struct Extensions {
    #[serde(default, deserialize_with = "not_null")]
    crit: Option<IgnoredAny>,
}

/// True if the header of a token has `crit`, whatever its value is, or cannot be read.
pub(super) fn has_critical_extensions(token: &str) -> bool {
    let header = token.split('.').next().unwrap_or_default();
    // Reads the second part. The signature of the whole was verified.
    let read = insecure_decode_claims::<Extensions>(format!(".{header}."));
    read.map_or(true, |extensions| extensions.crit.is_some())
}
