use strum::{IntoStaticStr, VariantArray};

/// What a refused login presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum LoginKind {
    /// `X-API-Key`.
    ApiKey,
    /// A JWT.
    BearerToken,
    /// The token of `/metrics`.
    MetricsToken,
    /// A device's token.
    TargetToken,
    /// A gateway's token.
    GatewayToken,
    /// A device's certificate, on the connection or reported by a proxy.
    Certificate,
    /// No credential of a known kind.
    None,
}
