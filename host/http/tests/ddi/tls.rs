//! TLS and client certificates of devices.

use std::{
    fs,
    net::SocketAddr,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName},
};
use tidegate_core::time::Timestamp;
use tidegate_engine::{access, fingerprint, ports::NewAuthority, tenants};
use tidegate_http::{ClientAuth, HttpServer, HttpSettings, Tls, TlsSettings};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::{
    raw_http::{Request, Response, get},
    tcp_peer::{MAX_WAIT, allow_many_files, connect_from, wait_until},
    test_server::{GATEWAY, TestServer},
};

const BASE: &str = "/LAB/controller/v1/dev-1";

type Authority = CertifiedIssuer<'static, KeyPair>;
/// A certificate chain and the key of its first certificate.
pub(crate) type ClientIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn authority(name: &str) -> anyhow::Result<Authority> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    Ok(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?)
}

/// Issues a client certificate with this common name.
fn signed(
    by: &Authority,
    name: &str,
    change: impl FnOnce(&mut CertificateParams),
) -> anyhow::Result<ClientIdentity> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, by)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    Ok((vec![certificate.der().clone()], key))
}

/// The server's certificate and its files.
struct ServerIdentity {
    root: CertificateDer<'static>,
    settings: TlsSettings,
    folder: tempfile::TempDir,
}

impl ServerIdentity {
    fn new(client_auth: ClientAuth) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let settings = TlsSettings {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
            client_auth,
        };
        let root = write_server_cert(folder.path())?;
        Ok(Self {
            root,
            settings,
            folder,
        })
    }
}

/// Writes a new server certificate, and returns it.
fn write_server_cert(folder: &Path) -> anyhow::Result<CertificateDer<'static>> {
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    fs::write(folder.join("cert.pem"), own.cert.pem())?;
    fs::write(folder.join("key.pem"), own.signing_key.serialize_pem())?;
    Ok(own.cert.der().clone())
}

async fn tls_server(
    client_auth: ClientAuth,
    set: impl FnOnce(&mut HttpSettings),
) -> anyhow::Result<(TestServer, ServerIdentity, Tls)> {
    let own = ServerIdentity::new(client_auth)?;
    let tls = Tls::open(own.settings.clone())?;
    let http_server = HttpServer {
        tls: Some(tls.clone()),
        ..HttpServer::default()
    };
    Ok((
        TestServer::authenticated_with(set, http_server).await?,
        own,
        tls,
    ))
}

/// Sends a request over TLS, with or without a client certificate.
async fn send(
    server: &TestServer,
    root: &CertificateDer<'static>,
    identity: Option<&ClientIdentity>,
    request: Request,
) -> anyhow::Result<Response> {
    send_to(server.addr, root, identity, request).await
}

/// Sends a request over TLS to any address.
pub(crate) async fn send_to(
    to: SocketAddr,
    root: &CertificateDer<'static>,
    identity: Option<&ClientIdentity>,
    request: Request,
) -> anyhow::Result<Response> {
    send_with(client_config(root, identity)?, to, request).await
}

fn client_config(
    root: &CertificateDer<'static>,
    identity: Option<&ClientIdentity>,
) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    Ok(match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
    })
}

async fn send_with(
    config: ClientConfig,
    to: SocketAddr,
    request: Request,
) -> anyhow::Result<Response> {
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("localhost")?;
    let connector = TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await?;
    request.send_over(stream).await
}

/// Adds an authority to a tenant.
async fn trust(
    server: &TestServer,
    tenant: tidegate_core::id::TenantId,
    by: &Authority,
    name: &str,
) -> anyhow::Result<tidegate_core::id::AuthorityId> {
    let der = by.der();
    let new = NewAuthority {
        name: name.to_owned(),
        certificate: der.to_vec(),
        sha256: fingerprint(name),
        subject: name.to_owned(),
        expires_at: Timestamp(i64::MAX),
        created_at: server.engine.now(),
    };
    Ok(access::create_authority(
        &server.ctx_of(tenant),
        server.engine.store(),
        server.engine.caches(),
        new,
    )
    .await?
    .id)
}

#[tokio::test]
async fn a_device_is_identified_by_its_certificate() -> anyhow::Result<()> {
    let (server, own, _) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let plant = authority("plant")?;
    let stranger = authority("plant")?;
    trust(&server, server.tenant, &plant, "plant").await?;
    let other = tenants::create(&server.server_ctx()?, server.engine.store(), "other").await?;
    let theirs = authority("theirs")?;
    trust(&server, other.id, &theirs, "theirs").await?;

    let by_name = signed(&plant, "dev-1", |_| {})?;
    let san = SanType::DnsName("dev-1".try_into()?);
    let by_other_name = signed(&plant, "other", |params| {
        params.subject_alt_names = vec![san];
    })?;
    let uri = SanType::URI("urn:dev:1".try_into()?);
    let by_uri = signed(&plant, "other", |params| {
        params.subject_alt_names = vec![uri];
    })?;
    let two_names = signed(&plant, "fleet", |params| {
        params
            .distinguished_name
            .push(DnType::OrganizationName, "dev-2");
    })?;
    for (identity, path, status) in [
        (Some(&by_name), BASE, 200),
        (Some(&by_other_name), BASE, 200),
        (Some(&by_uri), "/LAB/controller/v1/urn:dev:1", 200),
        (Some(&by_name), "/LAB/controller/v1/dev-2", 401),
        (Some(&by_name), "/LAB/controller/v1/DEV-1", 401),
        (Some(&two_names), "/LAB/controller/v1/dev-2", 401),
        // Another tenant's authority, an untrusted authority with the same name, and no certificate.
        (Some(&by_name), "/OTHER/controller/v1/dev-1", 401),
        (Some(&signed(&theirs, "dev-1", |_| {})?), BASE, 401),
        (Some(&signed(&stranger, "dev-1", |_| {})?), BASE, 401),
        (None, BASE, 401),
    ] {
        let response = send(&server, &own.root, identity, get(path)).await?;
        assert_eq!(response.status, status, "{path} {identity:?}");
    }
    // The device was registered, and its links are https.
    let response = send(&server, &own.root, Some(&by_name), get(BASE)).await?;
    let link = response.json()["_links"]["configData"]["href"].clone();
    assert_eq!(link, format!("https://gate.example:8080{BASE}/configData"));
    // Tokens are accepted as before.
    let poll = get(BASE).header("Authorization", GATEWAY);
    assert_eq!(send(&server, &own.root, None, poll).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn expired_and_wrong_usage_certificates_are_refused() -> anyhow::Result<()> {
    let (server, own, _) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let plant = authority("plant")?;
    let id = trust(&server, server.tenant, &plant, "plant").await?;
    // The server's clock is in November 2023.
    let expired = signed(&plant, "dev-1", |params| {
        params.not_after = date_time_ymd(2023, 11, 1);
    })?;
    let early = signed(&plant, "dev-1", |params| {
        params.not_before = date_time_ymd(2024, 1, 1);
    })?;
    let server_only = signed(&plant, "dev-1", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    })?;
    for identity in [&expired, &early, &server_only] {
        let response = send(&server, &own.root, Some(identity), get(BASE)).await?;
        assert_eq!(response.status, 401);
    }
    // An expired certificate is refused soon after.
    let short = signed(&plant, "dev-1", |params| {
        params.not_after = date_time_ymd(2023, 11, 16);
    })?;
    let poll = async || {
        anyhow::Ok(
            send(&server, &own.root, Some(&short), get(BASE))
                .await?
                .status,
        )
    };
    assert_eq!(poll().await?, 200);
    server.clock.advance(3 * 24 * 60 * 60);
    assert_eq!(poll().await?, 401);

    let long = signed(&plant, "dev-1", |_| {})?;
    let poll = async || {
        anyhow::Ok(
            send(&server, &own.root, Some(&long), get(BASE))
                .await?
                .status,
        )
    };
    assert_eq!(poll().await?, 200);
    access::delete_authority(
        &server.ctx(),
        server.engine.store(),
        server.engine.caches(),
        id,
    )
    .await?;
    assert_eq!(poll().await?, 401, "the authority is no longer trusted");
    Ok(())
}

#[tokio::test]
async fn a_chain_may_have_intermediates() -> anyhow::Result<()> {
    let (server, own, _) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let root = authority("root")?;
    trust(&server, server.tenant, &root, "root").await?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let between = CertifiedIssuer::signed_by(params, KeyPair::generate()?, &root)?;
    let (mut chain, key) = signed(&between, "dev-1", |_| {})?;
    let alone = (chain.clone(), key.clone_key());
    chain.push(between.der().clone());
    let status = async |identity: &ClientIdentity| {
        anyhow::Ok(
            send(&server, &own.root, Some(identity), get(BASE))
                .await?
                .status,
        )
    };
    assert_eq!(status(&alone).await?, 401);
    assert_eq!(status(&(chain, key)).await?, 200);
    // A device's certificate cannot issue others.
    let device = signed(&root, "dev-1", |_| {})?;
    let params = CertificateParams::default();
    let forged = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let (mut chain, key) = signed(&forged, "dev-1", |_| {})?;
    chain.extend(device.0);
    assert_eq!(status(&(chain, key)).await?, 401);
    Ok(())
}

#[tokio::test]
async fn a_required_certificate_is_enforced() -> anyhow::Result<()> {
    let (server, own, _) = tls_server(ClientAuth::Required, |_| {}).await?;
    let untrusted = signed(&authority("untrusted")?, "x", |_| {})?;
    let health = || get("/health");
    assert!(send(&server, &own.root, None, health()).await.is_err());
    assert_eq!(
        send(&server, &own.root, Some(&untrusted), health())
            .await?
            .status,
        200
    );
    // A certificate without its key is refused.
    let (chain, _) = untrusted;
    let (_, key) = signed(&authority("other")?, "x", |_| {})?;
    assert!(
        send(&server, &own.root, Some(&(chain, key)), health())
            .await
            .is_err()
    );

    let (server, own, _) = tls_server(ClientAuth::Off, |_| {}).await?;
    let plant = authority("plant")?;
    trust(&server, server.tenant, &plant, "plant").await?;
    let device = signed(&plant, "dev-1", |_| {})?;
    let response = send(&server, &own.root, Some(&device), get(BASE)).await?;
    assert_eq!(response.status, 401, "no client certificate was requested");
    Ok(())
}

#[tokio::test]
async fn the_server_certificate_is_reloaded() -> anyhow::Result<()> {
    let (server, own, tls) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let health = async |root| send(&server, root, None, get("/health")).await;
    assert_eq!(health(&own.root).await?.status, 200);
    assert!(!tls.reload()?, "nothing changed");
    // If only one of the files is valid, the old certificate stays in use.
    let newer = tempfile::tempdir()?;
    let root = write_server_cert(newer.path())?;
    let copy = |name| fs::copy(newer.path().join(name), own.folder.path().join(name));
    fs::write(&own.settings.cert, b"-----BEGIN CERTIFICATE-----")?;
    assert!(tls.reload().is_err());
    copy("cert.pem")?;
    assert!(tls.reload().is_err(), "it does not fit the key");
    assert_eq!(health(&own.root).await?.status, 200);
    copy("key.pem")?;
    assert!(tls.reload()?);
    assert_eq!(health(&root).await?.status, 200);
    assert!(health(&own.root).await.is_err());
    Ok(())
}

#[tokio::test]
async fn plain_http_is_refused() -> anyhow::Result<()> {
    let (server, _, _) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let plain = tokio::time::timeout(Duration::from_secs(30), server.send(get("/health"))).await?;
    assert!(plain.is_err(), "{plain:?}");
    Ok(())
}

#[tokio::test]
async fn a_handshake_has_little_time() -> anyhow::Result<()> {
    let (server, own, tls) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let http_server = HttpServer {
        tls: Some(tls),
        head_timeout: Duration::from_secs(1),
        ..HttpServer::default()
    };
    let to = server.serve(http_server, server.router.clone()).await?;
    for sent in [&b""[..], b"\x16\x03\x01\x02\x00"] {
        let mut silent = TcpStream::connect(to).await?;
        silent.write_all(sent).await?;
        let mut received = Vec::new();
        let ended = silent.read_to_end(&mut received);
        let _ = tokio::time::timeout(Duration::from_secs(20), ended).await?;
        assert!(received.is_empty());
    }
    let health = send_to(to, &own.root, None, get("/health")).await?;
    assert_eq!(health.status, 200);
    Ok(())
}

/// The server needs seconds for the handshakes of a large fleet.
#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_behind_one_address_has_the_time_for_its_handshakes() -> anyhow::Result<()> {
    const FLEET: usize = 300;
    allow_many_files()?;
    let (server, own, tls) = tls_server(ClientAuth::Optional, |_| {}).await?;
    let http_server = HttpServer {
        tls: Some(tls),
        // An address may have a quarter of them, when the limit is near.
        max_connections: 1_000,
        ..HttpServer::default()
    };
    // After two seconds a head is late.
    let late = http_server.head_timeout / 5;
    let to = server.serve(http_server, server.router.clone()).await?;
    let connector = TlsConnector::from(Arc::new(client_config(&own.root, None)?));
    let opened = Instant::now();
    let fleet = try_join_all((0..FLEET).map(|_| connect_from(0, to))).await?;
    wait_until(|| opened.elapsed() > late + Duration::from_millis(1_500)).await?;
    let requests = fleet.into_iter().map(|stream| async {
        let name = ServerName::try_from("localhost")?;
        let stream = connector.connect(name, stream).await?;
        get("/health").send_over(stream).await
    });
    let responses = tokio::time::timeout(MAX_WAIT, try_join_all(requests)).await??;
    assert!(responses.iter().all(|response| response.status == 200));
    Ok(())
}

#[tokio::test]
async fn failed_handshakes_are_counted_by_reason() -> anyhow::Result<()> {
    let (server, own, tls) = tls_server(ClientAuth::Required, |_| {}).await?;
    let hasty = HttpServer {
        tls: Some(tls),
        head_timeout: Duration::from_millis(500),
        ..HttpServer::default()
    };
    let hasty = server.serve(hasty, server.router.clone()).await?;
    let (chain, key) = signed(&authority("plant")?, "dev-1", |_| {})?;
    let long = (vec![chain[0].clone(); 12], key.clone_key());
    let identity = (chain, key);
    let counts = async || {
        let metrics = send(&server, &own.root, Some(&identity), get("/metrics")).await?;
        let counts = |line: &str| {
            let line = line.strip_prefix("tidegate_tls_handshake_failures_total{reason=\"")?;
            let (reason, count) = line.split_once("\"} ")?;
            Some((reason.to_owned(), count.parse::<u32>().ok()?))
        };
        anyhow::Ok(
            metrics
                .text()
                .lines()
                .filter_map(counts)
                .collect::<Vec<_>>(),
        )
    };
    let mut expected: Vec<_> = [
        "alert",
        "disconnected",
        "incompatible",
        "invalid_certificate",
        "no_certificate",
        "other",
        "protocol",
        "timed_out",
    ]
    .map(|reason| (reason.to_owned(), 0))
    .into();
    assert_eq!(counts().await?, expected);

    let stranger = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let distrusted = send(
        &server,
        stranger.cert.der(),
        Some(&identity),
        get("/health"),
    );
    assert!(distrusted.await.is_err());
    drop(TcpStream::connect(server.addr).await?);
    let mut config = client_config(&own.root, Some(&identity))?;
    config.alpn_protocols = vec![b"smtp".to_vec()];
    assert!(
        send_with(config, server.addr, get("/health"))
            .await
            .is_err()
    );
    assert!(
        send(&server, &own.root, Some(&long), get("/health"))
            .await
            .is_err()
    );
    assert!(
        send(&server, &own.root, None, get("/health"))
            .await
            .is_err()
    );
    assert!(server.send(get("/health")).await.is_err());
    let _silent = TcpStream::connect(hasty).await?;
    for (reason, count) in &mut expected {
        *count = u32::from(*reason != "other");
    }
    let counting = async {
        while counts().await? != expected {
            tokio::task::yield_now().await;
        }
        anyhow::Ok(())
    };
    let counted = tokio::time::timeout(MAX_WAIT, counting).await;
    assert!(counted.is_ok(), "{:?}", counts().await?);
    counted?
}
