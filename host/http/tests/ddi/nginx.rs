//! The nginx example of `docs/operating.md`, with a real nginx if one is installed.

use std::{fs, net::TcpListener, path::Path, process::Stdio, time::Duration};

use anyhow::Context as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tidegate_http::HttpServer;
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::sleep,
};

use crate::{
    raw_http::get,
    test_server::{GATEWAY, TestServer},
    tls::{ClientIdentity, send_to},
};

const NGINX: &str = "/usr/sbin/nginx";
const BASE: &str = "/LAB/controller/v1/dev-1";

/// A complete configuration: the example with the test's addresses and files.
fn configuration(folder: &Path, ours: u16, port: u16) -> anyhow::Result<String> {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operating.md");
    let docs = fs::read_to_string(docs)?;
    let (_, example) = docs.split_once("```nginx\n").context("an example")?;
    let (example, _) = example.split_once("```").context("an end")?;
    let folder = folder.display();
    let example = example
        .replace("listen 443", &format!("listen 127.0.0.1:{port}"))
        .replace("127.0.0.1:8080", &format!("127.0.0.1:{ours}"))
        .replace("/etc/nginx/", &format!("{folder}/"));
    Ok(format!(
        "daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;\nevents {{}}\n\
         http {{ access_log off; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
         fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
         {example} }}\n"
    ))
}

async fn nginx(folder: &Path, port: u16) -> anyhow::Result<Child> {
    let child = Command::new(NGINX)
        .arg("-c")
        .arg(folder.join("nginx.conf"))
        .arg("-e")
        .arg(folder.join("error.log"))
        // nginx must not keep the test's own output open.
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    for _ in 0..200 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(child);
        }
        sleep(Duration::from_millis(50)).await;
    }
    let log = fs::read_to_string(folder.join("error.log")).unwrap_or_default();
    anyhow::bail!("nginx does not listen: {log}")
}

#[tokio::test]
async fn the_example_in_the_docs_works() -> anyhow::Result<()> {
    if !Path::new(NGINX).exists() {
        return Ok(());
    }
    let trust = |settings: &mut tidegate_http::HttpSettings| {
        settings.proxies.networks = vec!["127.0.0.1/32".parse().expect("a valid network")];
    };
    let server = TestServer::authenticated_with(trust, HttpServer::default()).await?;
    let believe = |access: &mut tidegate_core::access::AccessSettings| {
        access.proxy_authorities = vec!["plant".to_owned()];
    };
    server.change_access(believe).await?;

    let folder = tempfile::tempdir()?;
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let name = &mut params.distinguished_name;
    name.push(DnType::OrganizationName, "Example");
    name.push(DnType::CommonName, "plant root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let plant = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let text = configuration(folder.path(), server.addr.port(), port)?;
    for (name, text) in [
        ("cert.pem", own.cert.pem()),
        ("key.pem", own.signing_key.serialize_pem()),
        ("device-authorities.pem", plant.pem()),
        ("nginx.conf", text),
    ] {
        fs::write(folder.path().join(name), text)?;
    }
    let _nginx = nginx(folder.path(), port).await?;

    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "dev-1");
    let key = KeyPair::generate()?;
    let chain = vec![params.signed_by(&key, &plant)?.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
    let identity: ClientIdentity = (chain, key);
    let gate = ([127, 0, 0, 1], port).into();
    let send_with =
        async |identity, request| send_to(gate, own.cert.der(), identity, request).await;
    let other = || get("/LAB/controller/v1/dev-2");

    let response = send_with(Some(&identity), get(BASE)).await?;
    assert_eq!(response.status, 200, "{response:?}");
    let link = response.json()["_links"]["configData"]["href"].clone();
    assert_eq!(link, format!("https://gate.example:8080{BASE}/configData"));
    assert_eq!(send_with(Some(&identity), other()).await?.status, 401);
    assert_eq!(send_with(None, get(BASE)).await?.status, 401);
    assert_eq!(
        send_with(None, get(BASE).header("Authorization", GATEWAY))
            .await?
            .status,
        200
    );
    // A client cannot identify itself with headers of its own, in either pair.
    for (device, authority) in [
        ("X-Controller-Id", "X-Authority"),
        ("X-Controller-Id", "X-Authority-0"),
        ("X-Ssl-Client-Cn", "X-Ssl-Issuer-Hash"),
        ("X-Ssl-Client-Cn", "X-Ssl-Issuer-Hash-1"),
    ] {
        for identity in [None, Some(&identity)] {
            let forged = other().header(device, "dev-2").header(authority, "plant");
            assert_eq!(
                send_with(identity, forged).await?.status,
                401,
                "{device} {authority}"
            );
        }
    }
    Ok(())
}
