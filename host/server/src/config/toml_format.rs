//! The file format of the configuration.

use figment::providers::Format;
use serde::de::DeserializeOwned;

/// TOML. figment's own `Toml` reads it with an old release of the parser, several times the size of the current one.
pub(super) struct Toml;

impl Format for Toml {
    type Error = toml::de::Error;

    const NAME: &'static str = "TOML";

    fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        toml::from_str(text)
    }
}
