//! The server under measurement, and clients of it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tidegate_ddi_client::Credentials;
use tokio::io::AsyncWriteExt as _;

use crate::{
    Bench,
    certificate::Certificate,
    http1::{Connection, request},
    process::{Process, create_empty_dir},
};

/// A server as in production: with API keys and tokens.
pub(crate) struct Tidegate {
    pub(crate) process: Process,
    pub(crate) data_dir: PathBuf,
    /// The header line with a gateway token, which authenticates every device.
    pub(crate) gateway: String,
    key: String,
    database: Option<String>,
}

impl Tidegate {
    /// Starts a server with an empty data directory, on SQLite unless a database is given.
    pub(crate) fn start(bench: &Bench, name: &str, database: Option<&str>) -> Result<Self> {
        let data_dir = bench.work.join(name);
        create_empty_dir(&data_dir)?;
        share_compiled_code(bench, &data_dir)?;
        let mut process = serve(bench, &data_dir, database, None)?;
        let line = process.first_line()?;
        let key = line.rsplit(' ').next().map(str::trim).unwrap_or_default();
        let gateway = gateway_token(bench, &data_dir, database)?;
        Ok(Self {
            process,
            data_dir,
            gateway: authorization(&Credentials::Gateway(gateway)),
            key: key.to_owned(),
            database: database.map(str::to_owned),
        })
    }

    /// Kills the server, changes its database, and starts it again. Returns when it listens.
    pub(crate) async fn restart(
        &mut self,
        bench: &Bench,
        change: impl AsyncFnOnce(&str) -> Result<()>,
    ) -> Result<()> {
        self.process.kill();
        change(&self.database_url()).await?;
        self.process = serve(bench, &self.data_dir, self.database.as_deref(), None)?;
        Ok(())
    }

    /// Restarts the server with TLS. [`Self::rest`] and [`Self::upload`] do not work then.
    pub(crate) fn restart_with_tls(
        &mut self,
        bench: &Bench,
        certificate: &Certificate,
    ) -> Result<()> {
        self.process.kill();
        let database = self.database.as_deref();
        self.process = serve(bench, &self.data_dir, database, Some(certificate))?;
        Ok(())
    }

    pub(crate) fn database_url(&self) -> String {
        let file = self.data_dir.join("tidegate.db");
        let sqlite = || format!("sqlite://{}", file.display());
        self.database.clone().unwrap_or_else(sqlite)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.process.addr
    }

    /// The header line with the first administrator's API key.
    pub(crate) fn admin(&self) -> String {
        format!("x-api-key: {}\r\n", self.key)
    }

    /// The same header line as a function of the device.
    pub(crate) fn gateway_header(&self) -> impl Fn(usize) -> String + Send + Sync + 'static {
        let gateway = self.gateway.clone();
        move |_| gateway.clone()
    }

    /// Calls the REST API. Returns the JSON body of a successful response.
    pub(crate) async fn rest(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let body = match body {
            Value::Null => Vec::new(),
            body => body.to_string().into_bytes(),
        };
        let path = format!("/api/v1/{path}");
        let bytes = request(method, &path, self.addr(), &self.admin(), &body);
        let mut connection = Connection::open(self.addr()).await?;
        let response = connection.exchange(&bytes).await?;
        success(&response, &path)
    }

    /// Uploads a firmware with one file, which is `pieces` times `piece`. Returns its id.
    pub(crate) async fn upload(&self, version: &str, piece: &[u8], pieces: u64) -> Result<i64> {
        let metadata = json!({
            "name": "edge-os", "version": version, "device_model": "edge", "manufacturer": "Tide",
        });
        let before = format!(
            "--x\r\ncontent-disposition: form-data; name=\"metadata\"\r\n\
             content-type: application/json\r\n\r\n{metadata}\r\n\
             --x\r\ncontent-disposition: form-data; name=\"file\"; filename=\"edge.bin\"\r\n\
             content-type: application/octet-stream\r\n\r\n"
        );
        let after = "\r\n--x--\r\n";
        let length = before.len() as u64 + piece.len() as u64 * pieces + after.len() as u64;
        let fields = format!(
            "{}content-type: multipart/form-data; boundary=x\r\ncontent-length: {length}\r\n",
            self.admin()
        );
        let head = request("POST", "/api/v1/firmware", self.addr(), &fields, b"");
        let mut connection = Connection::open(self.addr()).await?;
        connection.stream.write_all(&head).await?;
        connection.stream.write_all(before.as_bytes()).await?;
        for _ in 0..pieces {
            connection.stream.write_all(piece).await?;
        }
        connection.stream.write_all(after.as_bytes()).await?;
        let made = success(&connection.read_response().await?, "firmware")?;
        made["firmware_id"].as_i64().context("no firmware_id")
    }

    /// Uploads the component of a plugin.
    pub(crate) async fn upload_plugin(&self, component: &[u8]) -> Result<PluginUpload> {
        let before = "--x\r\ncontent-disposition: form-data; name=\"component\"; filename=\"plugin.wasm\"\r\n\
                      content-type: application/wasm\r\n\r\n";
        let form = [before.as_bytes(), component, b"\r\n--x--\r\n"].concat();
        let fields = format!(
            "{}content-type: multipart/form-data; boundary=x\r\ncontent-length: {}\r\n",
            self.admin(),
            form.len()
        );
        let path = "/api/v1/plugins";
        let head = request("POST", path, self.addr(), &fields, b"");
        let mut connection = Connection::open(self.addr()).await?;
        connection.stream.write_all(&head).await?;
        connection.stream.write_all(&form).await?;
        let response = connection.read_response().await?;
        if response.status == 422 {
            return Ok(PluginUpload::Rejected);
        }
        Ok(PluginUpload::Accepted(success(&response, path)?))
    }
}

/// The response to the upload of a plugin.
#[derive(Debug)]
pub(crate) enum PluginUpload {
    /// The revision.
    Accepted(Value),
    /// It is no valid plugin.
    Rejected,
}

/// The header line with the credentials of a device.
pub(crate) fn authorization(credentials: &Credentials) -> String {
    let value = credentials.authorization();
    value.map_or_else(String::new, |value| format!("authorization: {value}\r\n"))
}

fn serve(
    bench: &Bench,
    data_dir: &Path,
    database: Option<&str>,
    certificate: Option<&Certificate>,
) -> Result<Process> {
    let mut command = Command::new(&bench.server_bin);
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data_dir)
        .arg("--components")
        .arg(&bench.components)
        .stdout(Stdio::piped());
    set_environment(&mut command, database);
    if let Some(certificate) = certificate {
        command
            .env("TIDEGATE_TLS__CERT", &certificate.chain_file)
            .env("TIDEGATE_TLS__KEY", &certificate.key_file);
    }
    Process::start(&mut command, address)
}

fn success(response: &crate::http1::HttpResponse<'_>, path: &str) -> Result<Value> {
    if !(200..300).contains(&response.status) {
        let body = String::from_utf8_lossy(response.body);
        bail!("{path}: {} {body}", response.status);
    }
    Ok(serde_json::from_slice(response.body)?)
}

/// Shares the cache of compiled components between all servers of this build.
pub(crate) fn share_compiled_code(bench: &Bench, data_dir: &Path) -> Result<()> {
    let shared = std::path::absolute(bench.work.join("compiled"))?;
    std::fs::create_dir_all(&shared)?;
    std::os::unix::fs::symlink(&shared, data_dir.join("compiled"))
        .context("link the compiled components")
}

fn set_environment(command: &mut Command, database: Option<&str>) {
    command.env("TIDEGATE_LOG__FORMAT", "json");
    if let Some(url) = database {
        command.env("TIDEGATE_DATABASE__URL", url);
    }
}

fn gateway_token(bench: &Bench, data_dir: &Path, database: Option<&str>) -> Result<String> {
    let mut command = Command::new(&bench.server_bin);
    command
        .args(["gateway-token", "create", "--name", "bench", "--data-dir"])
        .arg(data_dir);
    set_environment(&mut command, database);
    let output = command.output().context("create a gateway token")?;
    if !output.status.success() {
        bail!(
            "create a gateway token: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn address(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    (line["message"] == "listening").then(|| line["addr"].as_str()?.parse().ok())?
}
