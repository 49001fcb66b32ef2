use serde::{Deserialize, Serialize};
use tidegate_core::settings::DdiLinks;

/// The device API.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ddi {
    /// Names of the links to files for tenants that set none.
    pub links: LinkNames,
}

/// The names of the links to a file, as in [`DdiLinks`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkNames {
    /// `download-http` and `md5sum-http`.
    #[default]
    Http,
    /// `download` and `md5sum`.
    Https,
    /// All four.
    Both,
}

impl From<LinkNames> for DdiLinks {
    fn from(names: LinkNames) -> Self {
        match names {
            LinkNames::Http => Self::Http,
            LinkNames::Https => Self::Https,
            LinkNames::Both => Self::Both,
        }
    }
}
