use std::{ops::Deref, sync::Arc, time::Duration};

use tidegate_engine::Engine;
use tokio_util::sync::CancellationToken;

use crate::{
    ClientCertHeaderNames, Metrics, RequestLimitSettings, TrustedProxies, limits::RequestLimits,
    rest::tokens::Tokens, x509::CertificateVerifier,
};

/// What every handler is given. It is cloned several times for each request, which must cost next to nothing.
#[derive(Clone)]
pub struct AppState(Arc<Shared>);

/// What is in an [`AppState`].
pub struct Shared {
    /// The use cases' engine.
    pub engine: Arc<Engine>,
    /// What `/metrics` shows. The same one is the engine's observer.
    pub metrics: Arc<Metrics>,
    /// What an operator may set.
    pub settings: HttpSettings,
    /// Ends event streams when the server shuts down.
    pub shutdown: CancellationToken,
    pub(crate) tokens: Tokens,
    pub(crate) limits: RequestLimits,
    pub(crate) certificate_verifier: CertificateVerifier,
}

impl Deref for AppState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

/// What an operator may set.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Whether whoever asks is handed a token.
    pub dev: bool,
    /// What bearer tokens are signed with (HS256), at least 32 bytes.
    pub token_secret: Vec<u8>,
    /// Longest time for an answer; uploads, downloads and event streams have none.
    pub request_timeout: Duration,
    /// Longest silence of a client that uploads.
    pub upload_idle_timeout: Duration,
    /// Largest JSON body, in bytes.
    pub max_json_bytes: usize,
    /// Largest component of a plugin, in bytes.
    pub max_component_bytes: u64,
    /// Which proxies are believed.
    pub proxies: TrustedProxies,
    /// How they name a device whose certificate they have checked.
    pub certificate_headers: ClientCertHeaderNames,
    /// How much may be asked for.
    pub limits: RequestLimitSettings,
}

impl HttpSettings {
    /// The defaults, with this secret.
    pub fn new(token_secret: Vec<u8>) -> Self {
        Self {
            dev: false,
            token_secret,
            request_timeout: Duration::from_secs(30),
            upload_idle_timeout: Duration::from_mins(1),
            max_json_bytes: 4 << 20,
            max_component_bytes: 32 << 20,
            proxies: TrustedProxies::default(),
            certificate_headers: ClientCertHeaderNames::default(),
            limits: RequestLimitSettings::default(),
        }
    }
}

impl AppState {
    /// The state of a server. `metrics` is the observer that the engine was made with.
    pub fn new(engine: Arc<Engine>, metrics: Arc<Metrics>, settings: HttpSettings) -> Self {
        Self(Arc::new(Shared {
            engine,
            metrics,
            limits: RequestLimits::new(&settings.limits),
            certificate_verifier: CertificateVerifier::default(),
            tokens: Tokens::new(&settings.token_secret, settings.dev),
            settings,
            shutdown: CancellationToken::new(),
        }))
    }
}
