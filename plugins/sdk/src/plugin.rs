use serde::de::DeserializeOwned;

use crate::meta::{Description, FieldError};

/// What every plugin says of itself.
pub trait Plugin {
    /// `[a-z0-9-]`, 1 to 64 characters.
    const NAME: &'static str;
    /// `SemVer`; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One sentence for people.
    const SUMMARY: &'static str;
    /// JSON Schema (2020-12) of the config; usually `include_str!("../schema.json")`.
    const SCHEMA: &'static str;
    /// Raise it when a newer build cannot read the state that an older one left.
    const STATE_SCHEMA: u32 = 1;
    /// Telemetry metrics that a health policy wants to be shown.
    const METRICS: &'static [&'static str] = &[];
    /// Device attributes that make device classes, beside hardware and version.
    const ATTRIBUTES: &'static [&'static str] = &[];

    /// The config as the plugin reads it.
    type Config: DeserializeOwned;

    /// What the schema cannot say. Nothing: the config is good.
    fn validate(_config: &Self::Config) -> Vec<FieldError> {
        Vec::new()
    }
}

impl FieldError {
    /// An error at a JSON pointer into the config; "" is the whole.
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

/// The host has checked the config against the schema; a plugin that is asked without a host still gets words.
///
/// Read from bytes as the state is, so that a component carries one JSON parser and not two.
pub(crate) fn read_config<P: Plugin>(config: &str) -> Result<P::Config, String> {
    serde_json::from_slice(config.as_bytes())
        .map_err(|error| format!("the config cannot be read: {error}"))
}
