//! Device authentication settings of a tenant.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::plugin::FieldError;

/// Maximum number of trusted certificate authorities.
const MAX_PROXY_AUTHORITIES: usize = 100;
/// Maximum length of one authority's name, in characters.
const MAX_PROXY_AUTHORITY: usize = 500;

/// Which credentials devices may authenticate with, and how unknown devices are handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSettings {
    /// How requests of unknown devices are handled.
    pub registration: Registration,
    /// Registers an unknown device with the first target token that it presents.
    pub trust_on_first_use: bool,
    /// Accepts target tokens (one per device).
    pub target_tokens: bool,
    /// Accepts gateway tokens.
    pub gateway_tokens: bool,
    /// Authorities whose client certificates trusted proxies may report.
    pub proxy_authorities: Vec<String>,
}

/// How requests of unknown devices are handled.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Registration {
    /// The first authenticated poll registers the device.
    #[default]
    Open,
    /// Only operators create devices; unknown devices are rejected.
    AllowList,
}

impl Default for AccessSettings {
    fn default() -> Self {
        Self {
            registration: Registration::Open,
            trust_on_first_use: false,
            target_tokens: true,
            gateway_tokens: true,
            proxy_authorities: Vec::new(),
        }
    }
}

impl AccessSettings {
    /// All broken rules; paths have the names of the fields, separated by dots.
    pub fn validation_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut report = |path: String, message: String| errors.push(FieldError { path, message });
        if self.proxy_authorities.len() > MAX_PROXY_AUTHORITIES {
            report(
                "proxy_authorities".to_owned(),
                format!("must be at most {MAX_PROXY_AUTHORITIES}"),
            );
        }
        for (index, authority) in self.proxy_authorities.iter().enumerate() {
            let is_good = (1..=MAX_PROXY_AUTHORITY).contains(&authority.chars().count())
                && authority.trim() == authority
                && !authority.contains([';', ',']);
            if !is_good {
                report(
                    format!("proxy_authorities.{index}"),
                    format!(
                        "must have 1 to {MAX_PROXY_AUTHORITY} characters, no space around them and \
                         neither `;` nor `,`, at which proxies' lists are split"
                    ),
                );
            }
        }
        errors
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxy_authorities_contain_no_list_separators() {
        let error_paths = |authorities: &[&str]| {
            let settings = AccessSettings {
                proxy_authorities: authorities.iter().map(|&name| name.to_owned()).collect(),
                ..AccessSettings::default()
            };
            let errors = settings.validation_errors().into_iter();
            errors.map(|error| error.path).collect::<Vec<_>>()
        };
        assert!(error_paths(&["AB:CD", "plant root", &"x".repeat(500)]).is_empty());
        let long = "x".repeat(501);
        let bad = ["", " a", "a,b", "a;b", &long];
        let paths: Vec<_> = (0..5).map(|n| format!("proxy_authorities.{n}")).collect();
        assert_eq!(error_paths(&bad), paths);
        assert_eq!(error_paths(&["a"; 101]), ["proxy_authorities"]);
    }
}
