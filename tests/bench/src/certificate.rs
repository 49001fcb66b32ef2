//! A server certificate, and a client that trusts it.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, pki_types::ServerName};

const NAME: &str = "localhost";

pub(crate) struct Certificate {
    pub(crate) chain_file: PathBuf,
    pub(crate) key_file: PathBuf,
    client: Arc<ClientConfig>,
}

impl Certificate {
    /// Writes a self-signed certificate and its key into this folder.
    pub(crate) fn create(folder: &Path) -> Result<Self> {
        let folder = fs::canonicalize(folder)?;
        let created = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
        let certificate = Self {
            chain_file: folder.join("cert.pem"),
            key_file: folder.join("key.pem"),
            client: Arc::new(client_config(created.cert.der())?),
        };
        fs::write(&certificate.chain_file, created.cert.pem())?;
        fs::write(&certificate.key_file, created.signing_key.serialize_pem())?;
        fs::set_permissions(&certificate.key_file, fs::Permissions::from_mode(0o600))?;
        Ok(certificate)
    }

    /// Speaks TLS over the connection.
    pub(crate) fn connect(&self, stream: TcpStream) -> Result<impl Read + Write + use<>> {
        let name = ServerName::try_from(NAME)?;
        let connection = ClientConnection::new(Arc::clone(&self.client), name)?;
        Ok(StreamOwned::new(connection, stream))
    }
}

fn client_config(trusted: &rustls::pki_types::CertificateDer<'_>) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots
        .add(trusted.clone().into_owned())
        .context("trust the certificate")?;
    let config = ClientConfig::builder().with_root_certificates(roots);
    Ok(config.with_no_client_auth())
}
