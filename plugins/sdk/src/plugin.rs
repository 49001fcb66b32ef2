use serde::de::DeserializeOwned;

use crate::meta::{Description, FieldError};

/// Self-description and config of a plugin.
pub trait Plugin {
    /// `[a-z0-9-]`, 1 to 64 characters.
    const NAME: &'static str;
    /// Version as `SemVer`; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One sentence for operators.
    const SUMMARY: &'static str;
    /// JSON Schema (2020-12) of the config; usually `include_str!("../schema.json")`.
    const SCHEMA: &'static str;
    /// Increase it when the state of an older build cannot be read any more.
    const STATE_SCHEMA: u32 = 1;
    /// Telemetry metrics that a health policy requests.
    const METRICS: &'static [&'static str] = &[];
    /// Device attributes that distinguish classes, in addition to hardware and version.
    const ATTRIBUTES: &'static [&'static str] = &[];

    /// The deserialized config.
    type Config: DeserializeOwned;

    /// Rules beyond the schema; an empty list accepts the config.
    fn validate(_config: &Self::Config) -> Vec<FieldError> {
        Vec::new()
    }
}

impl FieldError {
    /// An error at a JSON pointer into the config; "" denotes the whole config.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

pub(crate) fn describe<P: Plugin>() -> Description {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: P::SCHEMA.to_owned(),
        state_schema: P::STATE_SCHEMA,
        metrics: owned(P::METRICS),
        attributes: owned(P::ATTRIBUTES),
    }
}

pub(crate) fn validate<P: Plugin>(config: &str) -> Vec<FieldError> {
    match read_config::<P>(config) {
        Ok(config) => P::validate(&config),
        Err(message) => vec![FieldError::new("", message)],
    }
}

/// The host has validated the config against the schema; natively a plugin may get any text.
///
/// Parsed from bytes, as the state is, so that a component contains only one JSON parser.
pub(crate) fn read_config<P: Plugin>(config: &str) -> Result<P::Config, String> {
    serde_json::from_slice(config.as_bytes()).map_err(|error| format!("invalid config: {error}"))
}
