use serde::de::DeserializeOwned;

use crate::meta::{Description, FieldError, Interests};

/// Self-description and config of a plugin.
pub trait Plugin {
    /// `vendor/name`, each part `[a-z0-9-]`, 1 to 64 characters. Built-in plugins have no vendor here.
    const NAME: &'static str;
    /// Version as `SemVer`; usually `env!("CARGO_PKG_VERSION")`.
    const VERSION: &'static str;
    /// One sentence for operators.
    const SUMMARY: &'static str;
    /// JSON Schema (2020-12) of the config; usually `include_str!("../schema.json")`.
    const SCHEMA: &'static str;
    /// Increase it when the state of an older build cannot be read any more.
    const STATE_SCHEMA: u32 = 1;

    /// The deserialized config.
    type Config: DeserializeOwned;

    /// What the plugin has to be shown to work with this config: by default nothing beyond hardware and version.
    fn wants(_config: &Self::Config) -> Interests {
        Interests::default()
    }

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

impl Interests {
    /// No attributes, metrics and facts.
    pub const fn none() -> Self {
        Self {
            attributes: Vec::new(),
            metrics: Vec::new(),
            facts: Vec::new(),
            extras: Vec::new(),
        }
    }

    /// Device attributes that distinguish classes, in addition to hardware and version.
    #[must_use]
    pub fn with_attributes<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.attributes.extend(names.into_iter().map(Into::into));
        self
    }

    /// Telemetry metrics.
    #[must_use]
    pub fn with_metrics<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.metrics.extend(names.into_iter().map(Into::into));
        self
    }

    /// Facts in the context, such as `campaign/7/status`.
    #[must_use]
    pub fn with_facts<T: Into<String>>(mut self, keys: impl IntoIterator<Item = T>) -> Self {
        self.facts.extend(keys.into_iter().map(Into::into));
        self
    }
}

impl Default for Interests {
    fn default() -> Self {
        Self::none()
    }
}

pub(crate) fn describe<P: Plugin>() -> Description {
    Description {
        name: P::NAME.to_owned(),
        version: P::VERSION.to_owned(),
        summary: P::SUMMARY.to_owned(),
        config_schema: P::SCHEMA.to_owned(),
        state_schema: P::STATE_SCHEMA,
        extras: Vec::new(),
    }
}

pub(crate) fn validate<P: Plugin>(config: &str) -> Vec<FieldError> {
    match read_config::<P>(config) {
        Ok(config) => P::validate(&config),
        Err(message) => vec![FieldError::new("", message)],
    }
}

pub(crate) fn wants<P: Plugin>(config: &str) -> Result<Interests, String> {
    Ok(P::wants(&read_config::<P>(config)?))
}

/// The host has validated the config against the schema; natively a plugin may get any text.
///
/// Parsed from bytes, as the state is, so that a component contains only one JSON parser.
pub(crate) fn read_config<P: Plugin>(config: &str) -> Result<P::Config, String> {
    serde_json::from_slice(config.as_bytes()).map_err(|error| format!("invalid config: {error}"))
}
