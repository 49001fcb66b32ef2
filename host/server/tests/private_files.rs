//! What the server stores is private, whatever umask it was started with.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::multipart::{Form, Part};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// A server in a process of its own.
struct Server {
    url: String,
    process: Child,
    warnings: Vec<String>,
}

impl Server {
    fn start(umask: &str, folder: &Path) -> Result<Self> {
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TIDEGATE_")) {
            command.env_remove(name);
        }
        command
            .args(["-c", "umask $0; exec \"$@\"", umask])
            .args([env!("CARGO_BIN_EXE_tidegate"), "serve", "--dev"])
            .args(["--listen", "127.0.0.1:0"])
            .arg("--data-dir")
            .arg(folder.join("data"))
            .arg("--components")
            .arg(folder.join("components"))
            .env("TIDEGATE_LOG__FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = command.spawn().context("start the server")?;
        let stderr = process.stderr.take().context("its log")?;
        let mut server = Self {
            url: String::new(),
            process,
            warnings: Vec::new(),
        };
        for line in BufReader::new(stderr).lines() {
            let line: Value = serde_json::from_str(&line?)?;
            if line["level"] != "INFO" {
                server.warnings.push(line.to_string());
            }
            if line["message"] == "listening" {
                let address = line["addr"].as_str().context("an address")?;
                server.url = format!("http://{address}");
                return Ok(server);
            }
        }
        anyhow::bail!("the server did not listen: {:?}", server.warnings)
    }

    /// Uploads a firmware with one file.
    async fn upload(&self) -> Result<()> {
        // Fails if another test has installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::new();
        let token = http
            .post(format!("{}/api/v1/auth/dev-token", self.url))
            .json(&serde_json::json!({ "user_id": "creator" }))
            .send()
            .await?
            .error_for_status()?;
        let token: Value = token.json().await?;
        let file = Part::bytes(b"firmware".as_slice()).file_name("edge.bin");
        let form = Form::new()
            .text("metadata", r#"{"name": "edge", "version": "1.0.0"}"#)
            .part("file", file);
        http.post(format!("{}/api/v1/firmware", self.url))
            .bearer_auth(token["token"].as_str().context("a token")?)
            .multipart(form)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    fn stop(mut self) -> Result<()> {
        kill_process(Pid::from_child(&self.process), Signal::TERM)?;
        let status = self.process.wait()?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have stopped already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A folder with an empty folder of components, and a data folder that all users can read.
fn folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("components"))?;
    let data = folder.path().join("data");
    fs::create_dir(&data)?;
    fs::set_permissions(data, fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// The files and folders below a folder, with their permissions.
fn permissions(folder: &Path) -> Result<Vec<(PathBuf, u32)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        found.push((entry.path(), metadata.permissions().mode() & 0o777));
        if metadata.is_dir() {
            found.extend(permissions(&entry.path())?);
        }
    }
    Ok(found)
}

fn check_private(data: &Path) -> Result<()> {
    let found = permissions(data)?;
    for (path, mode) in &found {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(*mode, expected, "{}: {mode:o}", path.display());
    }
    for name in [
        "auth-secret",
        "tidegate.db",
        "artifacts/sha256",
        "artifacts/incoming",
        "compiled",
    ] {
        let path = data.join(name);
        assert!(found.iter().any(|(it, _)| *it == path), "{name}: {found:?}");
    }
    let mode = fs::metadata(data)?.permissions().mode() & 0o777;
    assert_eq!(mode, 0o755, "the folder itself stays as it is");
    Ok(())
}

#[tokio::test]
async fn stored_files_are_private_whatever_the_umask() -> Result<()> {
    for umask in ["000", "777"] {
        let folder = folder()?;
        let data = folder.path().join("data");
        let server = Server::start(umask, folder.path())?;
        server.upload().await?;
        check_private(&data)?;
        server.stop()?;
        check_private(&data)?;
    }
    Ok(())
}

#[tokio::test]
async fn restored_files_become_private() -> Result<()> {
    let folder = folder()?;
    let data = folder.path().join("data");
    let server = Server::start("022", folder.path())?;
    server.upload().await?;
    server.stop()?;
    for (path, _) in permissions(&data)? {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let server = Server::start("022", folder.path())?;
    check_private(&data)?;
    let is_expected = |line: &&String| !line.contains("development mode");
    assert_eq!(server.warnings.iter().find(is_expected), None);
    server.stop()
}
