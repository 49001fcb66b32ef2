//! Device certificates with a server process, and the commands for credentials.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use reqwest::{Certificate, Client, Identity};
use serde_json::Value;
use tidegate_e2e::{Credentials, Device, ServerProcess, ServerStorage, both_databases, output_of};

both_databases!(
    a_trusted_certificate_authenticates_its_device,
    connecting_without_a_required_certificate_fails,
);

async fn a_trusted_certificate_authenticates_its_device(storage: ServerStorage) -> Result<()> {
    let server = TlsServer::new(&storage, "optional")?;
    let plant = Authority::new(storage.dir(), "plant")?;
    let other = Authority::new(storage.dir(), "other")?;
    let dock = server.device("dock-0", Some(&plant.issue("dock-0")?))?;
    ensure!(
        dock.get("").await?.status == 401,
        "the authority is not trusted yet"
    );

    let pem = plant.file.to_str().context("no path")?;
    let created = server.run(&["device-authority", "add", "plant", "--certificate", pem])?;
    ensure!(created["subject"] == "CN=plant", "{created}");
    let again = ["device-authority", "add", "plant", "--certificate", pem];
    ensure!(server.run(&again).is_err(), "the name was accepted twice");
    dock.poll().await?;
    let shown = server.run(&["device", "show", "dock-0"])?;
    ensure!(shown["state"] == "registered", "{shown}");
    for (id, identity) in [
        ("dock-0", None),
        ("dock-1", Some(plant.issue("dock-0")?)),
        ("dock-0", Some(other.issue("dock-0")?)),
    ] {
        let refused = server.device(id, identity.as_deref())?.get("").await?;
        ensure!(
            refused.status == 401 && refused.body.is_empty(),
            "{refused}"
        );
    }

    server.run(&["device-authority", "remove", "plant"])?;
    let left = server.run(&["device-authority", "list"])?;
    ensure!(left["count"] == 0, "{left}");
    ensure!(
        dock.get("").await?.status == 401,
        "the removed authority is trusted"
    );
    tokens(&server).await
}

/// Device tokens and gateway tokens, by the command line.
async fn tokens(server: &TlsServer<'_>) -> Result<()> {
    let created = server.run(&["device", "token", "rotate", "dock-0"])?;
    let old = Credentials::Target(token(&created)?);
    let dock = server.device("dock-0", None)?;
    dock.clone().with_credentials(old.clone()).poll().await?;
    let created = server.run(&["device", "token", "rotate", "dock-0", "--old-for", "1h"])?;
    dock.clone().with_credentials(old.clone()).poll().await?;
    let new = Credentials::Target(token(&created)?);
    dock.clone().with_credentials(new.clone()).poll().await?;
    let used = dock.clone().with_credentials(old.clone()).get("").await?;
    ensure!(
        used.status == 401,
        "the old token is valid after the new one was used"
    );
    server.run(&["device", "token", "revoke", "dock-0"])?;
    let revoked = dock.clone().with_credentials(new.clone()).get("").await?;
    ensure!(revoked.status == 401, "{revoked}");

    let created = server.run(&["gateway", "create", "hall", "--group", "hall"])?;
    let gateway = Credentials::Gateway(token(&created)?);
    let crane = server.device("crane-0", None)?.with_credentials(gateway);
    crane.poll().await?;
    let agreed = server.run(&["device", "auto-confirm", "crane-0", "--remark", "no screen"])?;
    ensure!(agreed["auto_confirm"]["remark"] == "no screen", "{agreed}");
    ensure!(agreed["groups"] == serde_json::json!(["hall"]), "{agreed}");
    server.run(&["device", "auto-confirm", "crane-0", "--off"])?;
    let shown = server.run(&["device", "show", "crane-0"])?;
    ensure!(shown["auto_confirm"].is_null(), "{shown}");
    let table = server.run_text(&["gateway", "list"])?;
    ensure!(table.contains("NAME") && table.contains("hall"), "{table}");
    server.run(&["gateway", "revoke", "hall"])?;
    ensure!(
        crane.get("").await?.status == 401,
        "the revoked gateway token is valid"
    );
    ensure!(
        server.run(&["gateway", "revoke", "hall"]).is_err(),
        "the gateway was revoked twice"
    );
    keys(server).await
}

/// An API key can be listed by its id and revoked.
async fn keys(server: &TlsServer<'_>) -> Result<()> {
    let command = |arguments: &[&str]| output_of(server.storage.command()?.args(arguments));
    let create = ["key", "create", "--user", "bob", "--role", "viewer"];
    let key = command(&create)?.trim().to_owned();
    let client = Client::builder()
        .tls_certs_only([server.root.clone()])
        .build()?;
    let list = async || {
        let request = client.get(format!("{}/api/v1/devices", server.url));
        let response = request.header("X-API-Key", &key).send().await?;
        anyhow::Ok(response.status().as_u16())
    };
    ensure!(list().await? == 200, "the key is not valid");
    let listed = command(&["key", "list"])?;
    ensure!(!listed.contains(&key), "{listed}");
    let row = listed.lines().find(|row| row.contains("bob"));
    let id = row.and_then(|row| row.split_whitespace().next());
    let id = id.with_context(|| listed.clone())?;
    for show in ["show", "get"] {
        let shown = command(&["key", show, id])?;
        let is_shown = shown.contains("LAST USED") && shown.contains("bob");
        ensure!(is_shown, "{shown}");
    }
    command(&["tenant", "create", "other"])?;
    ensure!(command(&["tenant", "list"])? == "DEFAULT\nOTHER\n");
    let elsewhere = ["key", "revoke", "--tenant", "OTHER", id];
    ensure!(
        command(&elsewhere).is_err(),
        "another tenant revoked the key"
    );
    command(&["key", "revoke", id])?;
    ensure!(list().await? == 401, "the revoked key is valid");
    ensure!(
        command(&["key", "revoke", id]).is_err(),
        "the key was revoked twice"
    );
    Ok(())
}

fn token(created: &Value) -> Result<String> {
    let token = created["token"].as_str().context("no token")?;
    Ok(token.to_owned())
}

async fn connecting_without_a_required_certificate_fails(storage: ServerStorage) -> Result<()> {
    let server = TlsServer::new(&storage, "required")?;
    let plant = Authority::new(storage.dir(), "plant")?;
    let connection = server.device("dock-0", None)?.get("").await;
    ensure!(
        connection.is_err(),
        "the connection succeeded without a certificate"
    );
    let dock = server.device("dock-0", Some(&plant.issue("dock-0")?))?;
    ensure!(
        dock.get("").await?.status == 401,
        "the authority is not trusted"
    );
    Ok(())
}

/// A server process that uses TLS, and an administrator's API key.
struct TlsServer<'a> {
    storage: &'a ServerStorage,
    /// `https://localhost:PORT`.
    url: String,
    key: String,
    root: Certificate,
    _program: ServerProcess,
}

impl<'a> TlsServer<'a> {
    fn new(storage: &'a ServerStorage, client_auth: &str) -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let file = |name: &str| storage.dir().join(name);
        fs::write(file("cert.pem"), own.cert.pem())?;
        fs::write(file("key.pem"), own.signing_key.serialize_pem())?;
        let settings: [(&str, OsString); 3] = [
            ("TIDEGATE_TLS__CERT", file("cert.pem").into()),
            ("TIDEGATE_TLS__KEY", file("key.pem").into()),
            ("TIDEGATE_TLS__CLIENT_AUTH", client_auth.into()),
        ];
        let program = ServerProcess::start_with(storage, &settings)?;
        // The tenant exists once the server has started.
        let key = ["key", "create", "--user", "ada", "--role", "admin"];
        let key = output_of(storage.command()?.args(key))?;
        Ok(Self {
            storage,
            url: program.url.replace("http://127.0.0.1", "https://localhost"),
            key: key.trim().to_owned(),
            root: Certificate::from_pem(own.cert.pem().as_bytes())?,
            _program: program,
        })
    }

    /// A device with this client certificate, or without one.
    fn device(&self, id: &str, identity: Option<&str>) -> Result<Device> {
        let client = Client::builder().tls_certs_only([self.root.clone()]);
        let client = match identity {
            Some(pem) => client.identity(Identity::from_pem(pem.as_bytes())?),
            None => client,
        };
        Ok(Device::new(client.build()?, &self.url, "DEFAULT", id))
    }

    /// Runs a command as the administrator. Returns its JSON output; null if it prints nothing.
    fn run(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.run_text(&[arguments, &["--json"]].concat())?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// Runs a command as the administrator. Returns its output.
    fn run_text(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.storage.command()?;
        command
            .args(arguments)
            .env("TIDEGATE_URL", &self.url)
            .env("TIDEGATE_KEY", &self.key)
            .env("SSL_CERT_FILE", self.storage.dir().join("cert.pem"))
            .env_remove("SSL_CERT_DIR");
        output_of(&mut command)
    }
}

/// A certificate authority for device certificates.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// The file with its own certificate, PEM.
    file: std::path::PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        // The subject is only this common name.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// A client certificate with this common name and its key, PEM.
    fn issue(&self, name: &str) -> Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
    }
}
