use serde::{Deserialize, Serialize};
use tidegate_core::access::AccessSettings;
use utoipa::ToSchema;

use crate::rest::enum_field::{EnumField, RegistrationField};

/// How devices are registered and authenticated.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
#[schema(as = AccessSettings)]
pub(super) struct AccessBody {
    /// `open`: an authenticated device that is unknown is registered at its first poll. `allow_list`: only operators
    /// create devices.
    registration: Option<RegistrationField>,
    /// Whether an unknown device is registered with the first token that it presents; a later token never replaces it.
    /// False by default.
    trust_on_first_use: Option<bool>,
    /// Whether device tokens are accepted; true by default.
    target_tokens: Option<bool>,
    /// Whether gateway tokens are accepted; true by default.
    gateway_tokens: Option<bool>,
    /// Certificate authorities whose client certificates trusted proxies may forward, at most 100; empty: none.
    proxy_authorities: Option<Vec<String>>,
}

impl From<&AccessSettings> for AccessBody {
    fn from(settings: &AccessSettings) -> Self {
        Self {
            registration: Some(EnumField(settings.registration)),
            trust_on_first_use: Some(settings.trust_on_first_use),
            target_tokens: Some(settings.target_tokens),
            gateway_tokens: Some(settings.gateway_tokens),
            proxy_authorities: Some(settings.proxy_authorities.clone()),
        }
    }
}

impl From<AccessBody> for AccessSettings {
    fn from(body: AccessBody) -> Self {
        let default = Self::default();
        let registration = body
            .registration
            .map(|EnumField(registration)| registration);
        Self {
            registration: registration.unwrap_or(default.registration),
            trust_on_first_use: body
                .trust_on_first_use
                .unwrap_or(default.trust_on_first_use),
            target_tokens: body.target_tokens.unwrap_or(default.target_tokens),
            gateway_tokens: body.gateway_tokens.unwrap_or(default.gateway_tokens),
            proxy_authorities: body.proxy_authorities.unwrap_or(default.proxy_authorities),
        }
    }
}
