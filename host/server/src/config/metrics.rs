use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize};
use tidegate_http::{MetricsAccess, PluginLabels};

use super::{ConfigError, socket_address};

/// Minimum length of a token of `/metrics`.
const MIN_TOKEN_BYTES: usize = 16;

/// `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Listen address for `/metrics` alone, plain HTTP; `None`: it is on the address of the API.
    #[serde(deserialize_with = "optional_address")]
    pub listen: Option<SocketAddr>,
    /// The bearer token that a scrape must present; `None`: none.
    pub token: Option<String>,
    /// Whether the names of plugins that are not built in are shown.
    pub plugin_names: bool,
}

impl Metrics {
    /// Who may read `/metrics`, and where.
    pub fn access(&self) -> MetricsAccess {
        MetricsAccess {
            has_own_address: self.listen.is_some(),
            token: self.token.clone(),
        }
    }

    /// How plugins are named.
    pub fn plugin_labels(&self) -> PluginLabels {
        if self.plugin_names {
            PluginLabels::All
        } else {
            PluginLabels::BuiltIn
        }
    }

    /// Checks that the types cannot express.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        if token.len() >= MIN_TOKEN_BYTES && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        let why = format!("must have at least {MIN_TOKEN_BYTES} visible ASCII characters");
        Err(ConfigError::new("metrics.token", why))
    }
}

fn optional_address<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| socket_address(&text)).transpose()
}
