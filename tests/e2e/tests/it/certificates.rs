//! Devices that show certificates to the program itself, and the commands that have to do with who is let in.

use std::{ffi::OsString, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use reqwest::{Certificate, Client, Identity};
use serde_json::Value;
use tidegate_e2e::{Device, Ground, Program, both_databases, printed};

both_databases!(
    who_shows_a_certificate_is_let_in,
    who_shows_none_does_not_connect_where_one_is_required,
);

async fn who_shows_a_certificate_is_let_in(ground: Ground) -> Result<()> {
    let site = Site::new(&ground, "optional")?;
    let plant = Authority::new(ground.folder(), "plant")?;
    let other = Authority::new(ground.folder(), "other")?;
    let dock = site.device("dock-0", Some(&plant.issue("dock-0")?))?;
    ensure!(dock.get("").await?.status == 401, "nobody trusts the plant");

    let pem = plant.file.to_str().context("a path")?;
    let made = site.run(&["device-authority", "add", "plant", "--certificate", pem])?;
    ensure!(made["subject"] == "CN=plant", "{made}");
    let again = ["device-authority", "add", "plant", "--certificate", pem];
    ensure!(site.run(&again).is_err(), "there is one of this name");
    dock.poll().await?;
    let shown = site.run(&["device", "show", "dock-0"])?;
    ensure!(shown["state"] == "registered", "{shown}");
    for (id, identity) in [
        ("dock-0", None),
        ("dock-1", Some(plant.issue("dock-0")?)),
        ("dock-0", Some(other.issue("dock-0")?)),
    ] {
        let stranger = site.device(id, identity.as_deref())?.get("").await?;
        ensure!(
            stranger.status == 401 && stranger.body.is_empty(),
            "{stranger}"
        );
    }

    site.run(&["device-authority", "remove", "plant"])?;
    let left = site.run(&["device-authority", "list"])?;
    ensure!(left["count"] == 0, "{left}");
    ensure!(dock.get("").await?.status == 401, "it is trusted no more");
    tokens(&site).await
}

/// The other ways in, by the same commands.
async fn tokens(site: &Site<'_>) -> Result<()> {
    let made = site.run(&["device", "token", "rotate", "dock-0"])?;
    let old = token("TargetToken", &made)?;
    let dock = site.device("dock-0", None)?;
    dock.clone().authorized(&old).poll().await?;
    let made = site.run(&["device", "token", "rotate", "dock-0", "--old-for", "1h"])?;
    dock.clone().authorized(&old).poll().await?;
    let new = token("TargetToken", &made)?;
    dock.clone().authorized(&new).poll().await?;
    let used = dock.clone().authorized(&old).get("").await?;
    ensure!(used.status == 401, "the new one was used");
    site.run(&["device", "token", "revoke", "dock-0"])?;
    let revoked = dock.clone().authorized(&new).get("").await?;
    ensure!(revoked.status == 401, "{revoked}");

    let made = site.run(&["gateway", "create", "hall", "--group", "hall"])?;
    let gateway = token("GatewayToken", &made)?;
    let crane = site.device("crane-0", None)?.authorized(&gateway);
    crane.poll().await?;
    let agreed = site.run(&["device", "auto-confirm", "crane-0", "--remark", "no screen"])?;
    ensure!(agreed["auto_confirm"]["remark"] == "no screen", "{agreed}");
    ensure!(agreed["groups"] == serde_json::json!(["hall"]), "{agreed}");
    site.run(&["device", "auto-confirm", "crane-0", "--off"])?;
    let shown = site.run(&["device", "show", "crane-0"])?;
    ensure!(shown["auto_confirm"].is_null(), "{shown}");
    let table = site.print(&["gateway", "list"])?;
    ensure!(table.contains("NAME") && table.contains("hall"), "{table}");
    site.run(&["gateway", "revoke", "hall"])?;
    ensure!(crane.get("").await?.status == 401, "it opens nothing");
    ensure!(
        site.run(&["gateway", "revoke", "hall"]).is_err(),
        "it is gone"
    );
    keys(site).await
}

/// A key that got out is found among the others, and opens nothing any more.
async fn keys(site: &Site<'_>) -> Result<()> {
    let command = |arguments: &[&str]| printed(site.ground.command()?.args(arguments));
    let create = ["key", "create", "--user", "bob", "--role", "viewer"];
    let key = command(&create)?.trim().to_owned();
    let client = Client::builder()
        .tls_certs_only([site.root.clone()])
        .build()?;
    let list = async || {
        let request = client.get(format!("{}/api/v1/devices", site.url));
        let answer = request.header("X-API-Key", &key).send().await?;
        anyhow::Ok(answer.status().as_u16())
    };
    ensure!(list().await? == 200, "it opens");
    let listed = command(&["key", "list"])?;
    ensure!(!listed.contains(&key), "{listed}");
    let row = listed.lines().find(|row| row.contains("bob"));
    let id = row.and_then(|row| row.split_whitespace().next());
    let id = id.with_context(|| listed.clone())?;
    command(&["tenant", "create", "other"])?;
    ensure!(command(&["tenant", "list"])? == "DEFAULT\nOTHER\n");
    let elsewhere = ["key", "revoke", "--tenant", "OTHER", id];
    ensure!(command(&elsewhere).is_err(), "it is not theirs");
    command(&["key", "revoke", id])?;
    ensure!(list().await? == 401, "it opens nothing");
    ensure!(command(&["key", "revoke", id]).is_err(), "it is gone");
    Ok(())
}

fn token(scheme: &str, made: &Value) -> Result<String> {
    let token = made["token"].as_str().context("a token")?;
    Ok(format!("{scheme} {token}"))
}

async fn who_shows_none_does_not_connect_where_one_is_required(ground: Ground) -> Result<()> {
    let site = Site::new(&ground, "required")?;
    let plant = Authority::new(ground.folder(), "plant")?;
    let nobody = site.device("dock-0", None)?.get("").await;
    ensure!(nobody.is_err(), "nobody is let in without one");
    let dock = site.device("dock-0", Some(&plant.issue("dock-0")?))?;
    ensure!(dock.get("").await?.status == 401, "nobody trusts the plant");
    Ok(())
}

/// The program, which speaks TLS, and an administrator.
struct Site<'a> {
    ground: &'a Ground,
    /// `https://localhost:PORT`.
    url: String,
    key: String,
    root: Certificate,
    _program: Program,
}

impl<'a> Site<'a> {
    fn new(ground: &'a Ground, client_auth: &str) -> Result<Self> {
        let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        let file = |name: &str| ground.folder().join(name);
        fs::write(file("cert.pem"), own.cert.pem())?;
        fs::write(file("key.pem"), own.signing_key.serialize_pem())?;
        let settings: [(&str, OsString); 3] = [
            ("TIDEGATE_TLS__CERT", file("cert.pem").into()),
            ("TIDEGATE_TLS__KEY", file("key.pem").into()),
            ("TIDEGATE_TLS__CLIENT_AUTH", client_auth.into()),
        ];
        let program = Program::start_with(ground, &settings)?;
        // The tenant is there once the server is.
        let key = ["key", "create", "--user", "ada", "--role", "admin"];
        let key = printed(ground.command()?.args(key))?;
        Ok(Self {
            ground,
            url: program.url.replace("http://127.0.0.1", "https://localhost"),
            key: key.trim().to_owned(),
            root: Certificate::from_pem(own.cert.pem().as_bytes())?,
            _program: program,
        })
    }

    /// A device that shows this certificate, or none.
    fn device(&self, id: &str, identity: Option<&str>) -> Result<Device> {
        let client = Client::builder().tls_certs_only([self.root.clone()]);
        let client = match identity {
            Some(pem) => client.identity(Identity::from_pem(pem.as_bytes())?),
            None => client,
        };
        Ok(Device::new(client.build()?, &self.url, "DEFAULT", id))
    }

    /// What a command of the administrator's is answered by the server; null where that is nothing.
    fn run(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.print(&[arguments, &["--json"]].concat())?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{arguments:?}: {text}"))
    }

    /// What it prints.
    fn print(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.ground.command()?;
        command
            .args(arguments)
            .env("TIDEGATE_URL", &self.url)
            .env("TIDEGATE_KEY", &self.key)
            .env("SSL_CERT_FILE", self.ground.folder().join("cert.pem"))
            .env_remove("SSL_CERT_DIR");
        printed(&mut command)
    }
}

/// Who signs certificates of devices.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    file: std::path::PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Result<Self> {
        let mut params = CertificateParams::default();
        // Nothing but the name that it is given.
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let file = folder.join(format!("{name}.pem"));
        fs::write(&file, issuer.pem())?;
        Ok(Self { issuer, file })
    }

    /// A certificate for a device of this name and its key, PEM.
    fn issue(&self, name: &str) -> Result<String> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(format!("{}{}", certificate.pem(), key.serialize_pem()))
    }
}
