//! TLS: the server's certificate and client certificates.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use parking_lot::{Mutex, RwLock};
use rustls::{
    DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem, pem::PemObject as _},
    server::{
        ClientHello, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Maximum number of certificates that a client may present.
const MAX_CHAIN_CERTIFICATES: usize = 10;

/// TLS settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the server's certificate and its intermediates.
    pub cert: PathBuf,
    /// PEM file with the certificate's private key.
    pub key: PathBuf,
    /// Whether clients must or may present a certificate.
    pub client_auth: ClientAuth,
}

/// Whether clients must or may present a certificate. The trusted authorities depend on the tenant, so the chain is
/// verified per request, not in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// No client certificate is requested.
    Off,
    /// A client certificate is requested, and optional.
    #[default]
    Optional,
    /// Connections without a client certificate are refused, those of operators too.
    Required,
}

/// Why the certificate cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {path}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A file does not contain the expected PEM item.
    #[error("read {path}")]
    Pem {
        /// Path of the file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: pem::Error,
    },
    /// The certificate and the key do not match or cannot be used.
    #[error("use the certificate in {path}")]
    Unusable {
        /// Path of the certificate.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Error,
    },
}

/// Accepts TLS connections. Clones share the certificate.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    certificate: Arc<ReloadableCert>,
}

/// The server's certificate, as of the last time its files were loaded.
struct ReloadableCert {
    settings: TlsSettings,
    key: RwLock<Arc<CertifiedKey>>,
    loaded_versions: Mutex<FileVersions>,
}

/// Modification time and size of both files, to detect changes.
type FileVersions = [Option<(SystemTime, u64)>; 2];

/// The chain that a client presented, its own certificate first. It has proven possession of that one's key.
#[derive(Debug)]
pub(crate) struct PeerCertificates {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Digest over the whole chain.
    pub(crate) sha256: [u8; 32],
}

impl Tls {
    /// Loads the certificate and its key.
    pub fn open(settings: TlsSettings) -> Result<Self, TlsError> {
        let versions = file_versions(&settings);
        let provider = Arc::new(ring::default_provider());
        let key = load_certified_key(&settings, &provider)?;
        let unusable = |source| TlsError::Unusable {
            path: settings.cert.clone(),
            source,
        };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match settings.client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            client_auth => builder.with_client_cert_verifier(Arc::new(ProofOfPossessionVerifier {
                provider,
                is_mandatory: client_auth == ClientAuth::Required,
            })),
        };
        let certificate = Arc::new(ReloadableCert {
            settings,
            key: RwLock::new(Arc::new(key)),
            loaded_versions: Mutex::new(versions),
        });
        let mut config = builder.with_cert_resolver(Arc::clone(&certificate) as _);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            certificate,
        })
    }

    /// Reloads the files if they changed; true if there is a new certificate. Open connections keep the old one. On
    /// failure the old certificate stays in use, and the error is returned only once per change.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let certificate = &*self.certificate;
        let versions = file_versions(&certificate.settings);
        let mut loaded = certificate.loaded_versions.lock();
        if *loaded == versions {
            return Ok(false);
        }
        *loaded = versions;
        let key = load_certified_key(&certificate.settings, &ring::default_provider())?;
        *certificate.key.write() = Arc::new(key);
        Ok(true)
    }

    /// Performs the handshake. Also returns the client's certificates.
    pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, Option<PeerCertificates>)> {
        let stream = self.acceptor.accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates = (!chain.is_empty()).then(|| PeerCertificates::new(chain));
        Ok((stream, certificates))
    }
}

impl PeerCertificates {
    pub(crate) fn new(chain: &[CertificateDer<'static>]) -> Self {
        let mut sha256 = Sha256::new();
        for certificate in chain {
            sha256.update(certificate.len().to_le_bytes());
            sha256.update(certificate);
        }
        Self {
            chain: chain.to_vec(),
            sha256: sha256.finalize().into(),
        }
    }
}

impl fmt::Debug for ReloadableCert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

impl ResolvesServerCert for ReloadableCert {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let key = self.key.read();
        Some(Arc::clone(&key))
    }
}

fn file_versions(settings: &TlsSettings) -> FileVersions {
    [&settings.cert, &settings.key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn load_certified_key(
    settings: &TlsSettings,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsError> {
    let (cert, key) = (&settings.cert, &settings.key);
    let invalid_pem = |path: &Path, source| TlsError::Pem {
        path: path.to_owned(),
        source,
    };
    let text = read_file(cert)?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|source| invalid_pem(cert, source))?;
    if chain.is_empty() {
        return Err(invalid_pem(cert, pem::Error::NoItemsFound));
    }
    let secret = PrivateKeyDer::from_pem_slice(&read_file(key)?);
    let secret = secret.map_err(|source| invalid_pem(key, source))?;
    let path = || cert.clone();
    CertifiedKey::from_der(chain, secret, provider).map_err(|source| TlsError::Unusable {
        path: path(),
        source,
    })
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}

/// Accepts any certificate whose private key the client proves to possess. The trusted authorities depend on the
/// tenant, which is known only from the request, after the handshake.
#[derive(Debug)]
struct ProofOfPossessionVerifier {
    provider: Arc<CryptoProvider>,
    is_mandatory: bool,
}

impl ClientCertVerifier for ProofOfPossessionVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() >= MAX_CHAIN_CERTIFICATES {
            return Err(Error::General("too many certificates".to_owned()));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}
