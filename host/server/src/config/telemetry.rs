use reqwest::Url;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// What the server reports about its work besides log and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The OpenTelemetry collector that receives spans (OTLP over HTTP); `None`: spans are not exported.
    pub otlp_endpoint: Option<String>,
    /// Exports the spans of device requests too.
    pub otlp_device_requests: bool,
    /// Logs one line for each answered request.
    pub access_log: bool,
}

impl Telemetry {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Some(endpoint) = &self.otlp_endpoint else {
            return Ok(());
        };
        let is_base_url = endpoint.parse::<Url>().is_ok_and(|url| {
            let is_http = matches!(url.scheme(), "http" | "https");
            is_http && url.has_host() && url.query().is_none() && url.fragment().is_none()
        });
        if is_base_url {
            return Ok(());
        }
        let why =
            "must be the URL of a collector without `/v1/traces`, such as `http://localhost:4318`";
        Err(ConfigError::new("telemetry.otlp_endpoint", why))
    }
}
