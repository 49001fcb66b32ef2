//! A client of the REST API that `openapi-python-client` generates from the OpenAPI document.
//!
//! It needs Python and packages from `PyPI`. `cargo xtask test --clients` provides them and generates the client.

use std::{env, io::Write as _, path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use tidegate_e2e::{
    Database, Fixture as _, IsolatedTenant, TestTenant, run_standalone, wait_until,
};
use tokio::process::Command;

/// What the client does.
const SCRIPT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/clients/python/drive_campaign.py"
);

#[test]
fn a_generated_python_client_drives_a_campaign_on_sqlite() -> Result<()> {
    run_if_enabled(Database::Sqlite)
}

#[test]
fn a_generated_python_client_drives_a_campaign_on_postgres() -> Result<()> {
    run_if_enabled(Database::Postgres)
}

fn run_if_enabled(database: Database) -> Result<()> {
    let folder = env::var_os("TIDEGATE_TEST_API_CLIENTS");
    let (Some(folder), true) = (folder, database.is_available()?) else {
        // Not `eprintln!`: its output is captured.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: a generated Python client (run `cargo xtask test --clients`)"
        );
        return Ok(());
    };
    run_standalone(async || drives_a_campaign(database, Path::new(&folder)).await)
}

async fn drives_a_campaign(database: Database, folder: &Path) -> Result<()> {
    let tenant = IsolatedTenant::set_up(database).await?;
    let mut devices = tenant.create_devices("edge", 3).await?;
    let mut python = Command::new(folder.join("venv/bin/python"));
    python
        .arg(SCRIPT)
        .env("PYTHONPATH", folder.join("python"))
        .env("TIDEGATE_URL", &tenant.server.url)
        .env("TIDEGATE_ADMIN_KEY", tenant.admin.key().context("no key")?)
        .env(
            "TIDEGATE_APPROVER_KEY",
            tenant.approver.key().context("no key")?,
        )
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let client = tokio::spawn(async move { python.output().await });
    wait_until("the client is done", async || {
        for device in &mut devices {
            device.install().await?;
        }
        Ok(client.is_finished().then_some(()))
    })
    .await?;
    let output = client.await?.context("run the client")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{text}{errors}");
    let id: i64 = text.trim().parse().with_context(|| text.to_string())?;
    check_campaign(&tenant, id).await?;
    ensure!(
        devices.iter().all(|device| device.version == "2.0.0"),
        "{devices:?}"
    );
    Ok(())
}

async fn check_campaign(tenant: &TestTenant, id: i64) -> Result<()> {
    let campaign = tenant.get_campaign(id).await?;
    ensure!(
        campaign["status"] == "completed"
            && campaign["name"] == "summer"
            && campaign["completed_devices"] == 3
            && campaign["approved_by"] == "approver",
        "{campaign}"
    );
    Ok(())
}
