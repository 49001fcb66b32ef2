use std::{ops::Deref, sync::Arc, time::Duration};

use http::HeaderMap;
use tidegate_engine::Engine;
use tokio_util::sync::CancellationToken;
use tracing::Span;

use crate::{
    ClientCertHeaderNames, Metrics, PublicUrl, RequestLimitSettings, TokenSettings, TrustedProxies,
    limits::RequestLimits, refused_logins::RefusedLogins, request_id::RequestIds,
    stream_credentials::StreamCredentials, tokens::Tokens, x509::CertificateVerifier,
};

/// The state shared by all handlers. Cloning it must be cheap: each request does so several times.
#[derive(Clone)]
pub struct AppState(Arc<SharedState>);

/// The contents of an [`AppState`].
pub struct SharedState {
    /// The engine, which runs the use cases.
    pub engine: Arc<Engine>,
    /// The metrics of `/metrics`; also the engine's observer.
    pub metrics: Arc<Metrics>,
    /// The operator's settings.
    pub settings: HttpSettings,
    /// Cancelled when the server shuts down; ends event streams.
    pub shutdown: CancellationToken,
    pub(crate) request_ids: RequestIds,
    pub(crate) tokens: Tokens,
    pub(crate) limits: RequestLimits,
    pub(crate) refused_logins: RefusedLogins,
    pub(crate) stream_credentials: StreamCredentials,
    pub(crate) certificate_verifier: CertificateVerifier,
}

impl Deref for AppState {
    type Target = SharedState;

    fn deref(&self) -> &SharedState {
        &self.0
    }
}

/// Settings of the HTTP interfaces.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own"
)]
pub struct HttpSettings {
    /// Enables the dev-token endpoint, which issues a token without credentials.
    pub dev: bool,
    /// Refuses requests that name another host than this machine.
    pub loopback_hosts_only: bool,
    /// The key that signs bearer tokens (HS256), at least 32 bytes.
    pub token_secret: Vec<u8>,
    /// Which bearer tokens are accepted.
    pub tokens: TokenSettings,
    /// Where clients reach the server; `None`: where their requests were sent.
    pub public_url: Option<PublicUrl>,
    /// Maximum time for a request, except uploads, downloads and event streams.
    pub request_timeout: Duration,
    /// Maximum time that a request to advance a campaign waits for the decision.
    pub decision_wait: Duration,
    /// Maximum time in which an uploading client sends nothing.
    pub upload_idle_timeout: Duration,
    /// Maximum size of a JSON body, in bytes.
    pub max_json_bytes: usize,
    /// Maximum size of a plugin's component, in bytes.
    pub max_component_bytes: u64,
    /// The trusted proxies.
    pub proxies: TrustedProxies,
    /// The headers in which they name a device whose client certificate they have verified.
    pub certificate_headers: ClientCertHeaderNames,
    /// Sets the parent of a request's span from the request's headers. `None`: spans are not exported.
    pub set_parent_span: Option<fn(&HeaderMap, &Span)>,
    /// The spans of device requests have all fields, instead of the request id alone.
    pub detailed_device_spans: bool,
    /// Logs one line for each answered request.
    pub access_log: bool,
    /// Request limits.
    pub limits: RequestLimitSettings,
    /// Where `/metrics` is, and who may read it.
    pub metrics: MetricsAccess,
}

/// Access to `/metrics`.
#[derive(Debug, Clone, Default)]
pub struct MetricsAccess {
    /// `/metrics` has an address of its own, see [`crate::HttpApi::metrics`], and is not on the one of the API.
    pub has_own_address: bool,
    /// The bearer token that a request must present; `None`: none is needed.
    pub token: Option<String>,
}

impl HttpSettings {
    /// The default settings with this token secret.
    pub fn new(token_secret: Vec<u8>) -> Self {
        Self {
            dev: false,
            loopback_hosts_only: false,
            token_secret,
            tokens: TokenSettings::default(),
            public_url: None,
            request_timeout: Duration::from_secs(30),
            decision_wait: Duration::from_secs(5),
            upload_idle_timeout: Duration::from_mins(1),
            max_json_bytes: 4 << 20,
            max_component_bytes: 32 << 20,
            proxies: TrustedProxies::default(),
            certificate_headers: ClientCertHeaderNames::default(),
            set_parent_span: None,
            detailed_device_spans: false,
            access_log: false,
            limits: RequestLimitSettings::default(),
            metrics: MetricsAccess::default(),
        }
    }
}

impl HttpSettings {
    /// Whether a log line names the device of its request, besides the request id.
    pub(crate) fn names_devices_in_logs(&self) -> bool {
        self.detailed_device_spans || self.access_log
    }
}

impl AppState {
    /// The state of a server. `metrics` must be the engine's observer.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, settings: HttpSettings) -> Self {
        Self(Arc::new(SharedState {
            request_ids: RequestIds::new(engine.entropy()),
            engine,
            metrics,
            limits: RequestLimits::new(&settings.limits),
            refused_logins: RefusedLogins::new(&settings.limits),
            stream_credentials: StreamCredentials::default(),
            certificate_verifier: CertificateVerifier::default(),
            tokens: Tokens::new(&settings.token_secret, settings.dev, &settings.tokens),
            settings,
            shutdown: CancellationToken::new(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advance_waits_for_five_seconds() {
        let settings = HttpSettings::new(Vec::new());
        assert_eq!(settings.decision_wait, Duration::from_secs(5));
    }
}
