use serde::{Deserialize, Serialize};

/// What the server reports about its work besides log and metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// Logs one line for each answered request.
    pub access_log: bool,
}
