//! A third-party device client: `SWUpdate` from Debian, with a signed image and a device token.
//!
//! It needs the programs `swupdate`, `cpio` and `openssl`, and root to install. `cargo xtask test --clients`
//! provides them.

use std::{
    env, fs,
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_e2e::{
    Database, FirmwareForm, IsolatedTenant, ServerOptions, run_standalone, wait_until,
};

const CONTENT: &[u8] = b"brought by the tide\n";

#[test]
fn it_installs_a_signed_image_on_sqlite() -> Result<()> {
    run_if_enabled(Database::Sqlite, false)
}

#[test]
fn it_installs_a_signed_image_on_postgres() -> Result<()> {
    run_if_enabled(Database::Postgres, false)
}

#[test]
fn it_installs_a_signed_image_over_tls_on_sqlite() -> Result<()> {
    run_if_enabled(Database::Sqlite, true)
}

#[test]
fn it_installs_a_signed_image_over_tls_on_postgres() -> Result<()> {
    run_if_enabled(Database::Postgres, true)
}

fn run_if_enabled(database: Database, tls: bool) -> Result<()> {
    if env::var_os("TIDEGATE_TEST_CLIENTS").is_none() {
        // Not `eprintln!`: its output is captured.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: swupdate (run `cargo xtask test --clients`)"
        );
        return Ok(());
    }
    if !database.is_available()? {
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED on PostgreSQL: swupdate (run `cargo xtask test --clients`)"
        );
        return Ok(());
    }
    run_standalone(async || installs_a_signed_image(database, tls).await)
}

async fn installs_a_signed_image(database: Database, tls: bool) -> Result<()> {
    let options = ServerOptions {
        tls,
        polling_interval: Some(Duration::from_secs(1)),
        ..ServerOptions::default()
    };
    let tenant = IsolatedTenant::with(database, options).await?;
    // It contains sockets, whose paths must be short.
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let image = image(folder, "1.4.0")?;
    let form = FirmwareForm {
        metadata: json!({}),
        ..FirmwareForm::new("1.4.0").files(&[("dock.swu", &image)])
    };
    let firmware = form
        .send(&tenant.publisher)
        .await?
        .expect_status(201)?
        .json()?;
    ensure!(
        firmware["version"] == "1.4.0" && firmware["name"] == "dock",
        "{firmware}"
    );

    let created = tenant
        .operator
        .post("devices", &json!({ "device_id": "dock-0" }))
        .await?
        .expect_status(201)?
        .json()?;
    let device = Settings {
        url: &tenant.server.url,
        tenant: &tenant.record.name,
        token: created["token"].as_str().context("no token")?,
        certificate: tenant.server.certificate.as_deref(),
    };
    let running = device.run(folder, "1.0.0", "")?;
    // The policy `hardware` excludes this device because of the image's metadata.
    let other = tenant.device("dock-1");
    other.poll().await?;
    other
        .report([
            ("hw_boardname", "dock"),
            ("hw_revision", "2.0"),
            ("sw_version", "1.0.0"),
        ])
        .await?;
    wait_until("the device reports its attributes", async || {
        let shown = tenant
            .viewer
            .get("devices/dock-0")
            .await?
            .expect_status(200)?
            .json()?;
        Ok((shown["hw_revision"] == "1.0").then_some(()))
    })
    .await?;

    let id = firmware["firmware_id"].as_i64().context("no id")?;
    let changes = json!({
        "target_filter": "hw_model==dock",
        "policies": [{ "plugin": "hardware", "config": {} }],
    });
    let campaign = tenant.start_campaign(id, changes).await?;
    let installed = folder.join("installed");
    wait_until("the device has installed the file", async || {
        Ok(fs::read(&installed)
            .is_ok_and(|found| found == CONTENT)
            .then_some(()))
    })
    .await
    .with_context(|| running.log(folder))?;
    wait_until("the device reports that it is installing", async || {
        let update = tenant.updates(campaign).await?.swap_remove(0);
        Ok((update["status"] == "installing").then_some(()))
    })
    .await
    .with_context(|| running.log(folder))?;
    drop(running);

    // As after a reboot into the installed version.
    let running = device.run(folder, "1.4.0", "-c 2")?;
    let ended = tenant
        .wait_for_status(campaign, "completed")
        .await
        .with_context(|| running.log(folder))?;
    ensure!(
        ended["excluded_devices"] == 1 && ended["completed_devices"] == 1,
        "{ended}"
    );
    wait_until("the device reports the new version", async || {
        let shown = tenant
            .viewer
            .get("devices/dock-0")
            .await?
            .expect_status(200)?
            .json()?;
        Ok((shown["sw_version"] == "1.4.0").then_some(()))
    })
    .await?;
    let why = tenant
        .viewer
        .get("devices/dock-1/explain")
        .await?
        .expect_status(200)?;
    ensure!(
        String::from_utf8_lossy(&why.body).contains("The hardware revision is 2.0"),
        "{why}"
    );
    Ok(())
}

/// An image with one file and a signed description. The new certificate is left in the directory.
fn image(folder: &Path, version: &str) -> Result<Vec<u8>> {
    let sum = hex::encode(Sha256::digest(CONTENT));
    let installed = folder.join("installed");
    let description = format!(
        "software = {{\n    version = \"{version}\";\n    hardware-compatibility: [ \"1.0\", \"1.1\" ];\n    \
         files: ( {{ filename = \"motd\"; path = \"{}\"; sha256 = \"{sum}\"; }} );\n}}\n",
        installed.display()
    );
    fs::write(folder.join("sw-description"), description)?;
    fs::write(folder.join("motd"), CONTENT)?;
    let key = "req -x509 -newkey rsa:2048 -nodes -days 36500 -subj /O=Tide/CN=release \
        -addext extendedKeyUsage=emailProtection -keyout key.pem -out cert.pem";
    let sign = "cms -sign -in sw-description -out sw-description.sig -signer cert.pem -inkey key.pem \
        -outform DER -nosmimecap -binary";
    for arguments in [key, sign] {
        let mut command = Command::new("openssl");
        succeed(command.args(arguments.split_whitespace()), folder)?;
    }
    let pack = "printf 'sw-description\\nsw-description.sig\\nmotd\\n' | cpio -o -H crc >dock.swu";
    succeed(Command::new("sh").args(["-c", pack]), folder)?;
    Ok(fs::read(folder.join("dock.swu"))?)
}

fn succeed(command: &mut Command, folder: &Path) -> Result<()> {
    let output = command
        .current_dir(folder)
        .output()
        .with_context(|| format!("start {command:?}"))?;
    ensure!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

/// The server settings of the device.
struct Settings<'a> {
    url: &'a str,
    tenant: &'a str,
    token: &'a str,
    /// The server's certificate, if it uses TLS.
    certificate: Option<&'a Path>,
}

impl Settings<'_> {
    /// Starts the client of a device that runs this version.
    fn run(&self, folder: &Path, version: &str, arguments: &str) -> Result<Client> {
        let Self {
            url,
            tenant,
            token,
            certificate,
        } = self;
        let authority = certificate.map_or_else(String::new, |file| {
            format!("cafile = \"{}\"; ", file.display())
        });
        let config = format!(
            "globals : {{ loglevel = 5; }};\n\
             identify : (\n    {{ name = \"hw_boardname\"; value = \"dock\"; }},\n    \
             {{ name = \"hw_revision\"; value = \"1.0\"; }},\n    \
             {{ name = \"sw_version\"; value = \"{version}\"; }}\n);\n\
             suricatta : {{ tenant = \"{tenant}\"; id = \"dock-0\"; url = \"{url}\"; targettoken = \"{token}\"; {authority}\
             polldelay = 1; retry = 4; retrywait = 1; }};\n"
        );
        fs::write(folder.join("swupdate.cfg"), config)?;
        let log = fs::File::create(folder.join("swupdate.log"))?;
        let child = Command::new("swupdate")
            .args(["-f", "swupdate.cfg", "-k", "cert.pem", "-H", "dock:1.0"])
            .args(["-B", "none", "-u", arguments])
            .current_dir(folder)
            .env("TMPDIR", folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            // It starts child processes; the group is killed as a whole.
            .process_group(0)
            .spawn()
            .context("start swupdate")?;
        Ok(Client(child))
    }
}

/// The client and its child processes, which are killed when this is dropped.
struct Client(Child);

impl Client {
    /// The end of the log.
    fn log(&self, folder: &Path) -> String {
        let log = fs::read(folder.join("swupdate.log")).unwrap_or_default();
        let end = log.len().saturating_sub(8000);
        format!(
            "{}\nswupdate {}",
            String::from_utf8_lossy(&log[end..]),
            self.0.id()
        )
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // The processes may have ended already.
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}
