//! Errors of the configuration, which name settings as they were written.

use std::fmt;

use figment::{
    Error, Figment, Metadata, Source,
    error::{Actual, Kind, OneOf},
};

use super::suggestion::nearest;

/// Prefix of the server's environment variables.
pub(super) const PREFIX: &str = "TIDEGATE_";
/// Separator between the parts of a key in an environment variable.
pub(super) const SEPARATOR: &str = "__";
/// Tables whose values are not shown in errors.
const SECRET_TABLES: [&str; 2] = ["auth", "database"];
/// Other settings whose values are not shown, also if the value stands where their table belongs.
const SECRET_SETTINGS: [&str; 2] = ["metrics", "metrics.token"];

/// A setting with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    key: String,
    why: String,
}

impl ConfigError {
    /// From the key with its tables (`tls.cert`), and a predicate that completes the sentence.
    pub(super) fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            why: why.into(),
        }
    }

    /// The message, with the file or variable that sets the key.
    pub(super) fn describe(&self, figment: &Figment) -> String {
        let path: Vec<String> = self.key.split('.').map(str::to_owned).collect();
        let name = setting_name(&path, figment.find_metadata(&self.key));
        format!("{name} {}", self.why)
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.key, self.why)
    }
}

impl std::error::Error for ConfigError {}

/// The message for a configuration that cannot be parsed.
pub(super) fn describe_figment_error(error: &Error, defaults: &Figment) -> String {
    if error.path.is_empty() {
        return match value_origin(error.metadata.as_ref()) {
            ValueOrigin::File(file) => format!("{file} cannot be read: {}", error.kind),
            ValueOrigin::Environment | ValueOrigin::Default => error.kind.to_string(),
        };
    }
    let name = setting_name(&error.path, error.metadata.as_ref());
    let is_secret = error
        .path
        .first()
        .is_some_and(|table| SECRET_TABLES.contains(&table.as_str()))
        || SECRET_SETTINGS.contains(&&*error.path.join("."));
    match &error.kind {
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) if is_secret => {
            format!("{name} must be {}", expected_value(expected))
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let (found, expected) = (actual_value(found), expected_value(expected));
            format!("{name} is {found}, but must be {expected}")
        }
        Kind::UnknownVariant(found, expected) => {
            format!("{name} is {found:?}, but must be {}", OneOf(expected))
        }
        Kind::UnknownField(_, expected) => {
            let suggestion = nearest(&error.path.join("."), defaults).map(|key| {
                let known = suggested_name(&key, error.metadata.as_ref());
                format!("; did you mean {known}?")
            });
            format!(
                "{name} is an unknown setting: expected {}{}",
                OneOf(expected),
                suggestion.unwrap_or_default()
            )
        }
        other => format!("{name} is invalid: {other}"),
    }
}

/// Where a setting comes from.
enum ValueOrigin {
    File(String),
    Environment,
    Default,
}

fn value_origin(origin: Option<&Metadata>) -> ValueOrigin {
    match origin.map(|origin| &origin.source) {
        Some(Some(Source::File(file))) => ValueOrigin::File(file.display().to_string()),
        Some(None) => ValueOrigin::Environment,
        _ => ValueOrigin::Default,
    }
}

fn setting_name(path: &[String], origin: Option<&Metadata>) -> String {
    let key = path.join(".");
    match value_origin(origin) {
        ValueOrigin::File(file) => format!("`{key}` in {file}"),
        ValueOrigin::Environment => {
            let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
            format!("the environment variable `{}`", variable_name(path, names))
        }
        ValueOrigin::Default => format!("`{key}`"),
    }
}

/// A known setting as it is written where the unknown one stands.
fn suggested_name(key: &str, origin: Option<&Metadata>) -> String {
    match value_origin(origin) {
        ValueOrigin::Environment => {
            let path: Vec<String> = key.split('.').map(str::to_owned).collect();
            format!("`{}`", variable_name(&path, std::iter::empty()))
        }
        ValueOrigin::File(_) | ValueOrigin::Default => format!("`{key}`"),
    }
}

/// The environment variable that sets this key. An existing one is named as it is written, and may set a whole table or
/// list.
fn variable_name(path: &[String], there: impl Iterator<Item = String>) -> String {
    let name = |parts: &[String]| format!("{PREFIX}{}", parts.join(SEPARATOR)).to_uppercase();
    let there: Vec<String> = there.collect();
    let found = (1..=path.len()).rev().find_map(|parts| {
        let name = name(&path[..parts]);
        there.iter().find(|there| there.to_uppercase() == name)
    });
    found.cloned().unwrap_or_else(|| name(path))
}

fn actual_value(found: &Actual) -> String {
    match found {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(number) => number.to_string(),
        Actual::Signed(number) => number.to_string(),
        Actual::Float(number) => number.to_string(),
        Actual::Str(text) => format!("{text:?}"),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a table".to_owned(),
        other => other.to_string(),
    }
}

/// Translates what serde expects into the terms of TOML.
fn expected_value(expected: &str) -> &str {
    match expected {
        "a boolean" => "`true` or `false`",
        "a sequence" => "a list",
        "path string" => "a path",
        "u8" => "a whole number from 0 to 255",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number that is not negative",
        table if table.starts_with("struct ") => "a table",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_named_as_they_are_written() {
        for (path, there, expected) in [
            ("listen", &["TIDEGATE_LISTEN"][..], "TIDEGATE_LISTEN"),
            ("listen", &["tidegate_listen"], "tidegate_listen"),
            ("log.level", &["TIDEGATE_LOG"], "TIDEGATE_LOG"),
            (
                "log.level",
                &["TIDEGATE_LOG", "TIDEGATE_LOG__LEVEL"],
                "TIDEGATE_LOG__LEVEL",
            ),
            (
                "http.trusted_proxies.0",
                &["TIDEGATE_HTTP__TRUSTED_PROXIES"],
                "TIDEGATE_HTTP__TRUSTED_PROXIES",
            ),
            ("tls.cert", &["PATH"], "TIDEGATE_TLS__CERT"),
        ] {
            let path: Vec<String> = path.split('.').map(str::to_owned).collect();
            let there = there.iter().map(|&name| name.to_owned());
            assert_eq!(variable_name(&path, there), expected);
        }
    }
}
