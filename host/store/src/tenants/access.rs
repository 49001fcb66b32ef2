use serde::{Deserialize, Serialize};
use tidegate_core::{Named as _, access::AccessSettings};

use crate::{
    dialect::storable,
    rows::{RowError, parse_value},
};

/// [`AccessSettings`] as JSON.
#[derive(Serialize, Deserialize)]
#[serde(default)]
pub(super) struct AccessJson {
    registration: String,
    trust_on_first_use: bool,
    target_tokens: bool,
    gateway_tokens: bool,
    proxy_authorities: Vec<String>,
}

impl Default for AccessJson {
    fn default() -> Self {
        (&AccessSettings::default()).into()
    }
}

impl From<&AccessSettings> for AccessJson {
    fn from(settings: &AccessSettings) -> Self {
        let authorities = settings.proxy_authorities.iter();
        Self {
            registration: settings.registration.as_str().to_owned(),
            trust_on_first_use: settings.trust_on_first_use,
            target_tokens: settings.target_tokens,
            gateway_tokens: settings.gateway_tokens,
            proxy_authorities: authorities
                .map(|authority| storable(authority).into_owned())
                .collect(),
        }
    }
}

impl TryFrom<AccessJson> for AccessSettings {
    type Error = RowError;

    fn try_from(json: AccessJson) -> Result<Self, RowError> {
        Ok(Self {
            registration: parse_value("settings", &json.registration)?,
            trust_on_first_use: json.trust_on_first_use,
            target_tokens: json.target_tokens,
            gateway_tokens: json.gateway_tokens,
            proxy_authorities: json.proxy_authorities,
        })
    }
}
