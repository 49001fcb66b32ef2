//! The audit trail: one row for each change by a user, none for anything else, and no secrets.

mod changes;
mod walk;

use anyhow::{Context as _, Result, ensure};
use reqwest::Client;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tidegate_e2e::{
    RestClient, ServerProcess, ServerStorage, TestTenant, both_databases, output_of,
};

use changes::{
    approvals, campaigns, credentials, devices, firmware, moves, plugins, unused_firmware, updates,
};
use walk::{AuditWalk, Change, Operation, rows};

both_databases!(
    every_change_leaves_one_row,
    reports_of_devices_leave_no_row,
    each_kind_of_actor_is_recorded,
);

async fn every_change_leaves_one_row(tenant: TestTenant) -> Result<()> {
    let mut walk = AuditWalk::new(&tenant);
    let firmware = firmware(&mut walk).await?;
    plugins(&mut walk).await?;
    credentials(&mut walk).await?;
    devices(&mut walk).await?;
    updates(&mut walk, firmware).await?;
    approvals(&mut walk, firmware).await?;
    campaigns(&mut walk, firmware).await?;
    moves(&mut walk).await?;

    let unused = unused_firmware(&tenant).await?;
    let delete = Operation::delete("firmware/{firmware_id}", &[&unused]);
    let change = Change::of("firmware.delete").deleted();
    walk.succeeds(&tenant.publisher, change, &delete).await?;
    walk.ensure_complete().await?;
    walk.ensure_no_secrets().await
}

async fn reports_of_devices_leave_no_row(tenant: TestTenant) -> Result<()> {
    let walk = AuditWalk::new(&tenant);
    let before = walk.rows().await?.len();
    let mut fleet = tenant.create_devices("edge", 2).await?;
    ensure!(
        walk.rows().await?.len() == before,
        "a registration left a row"
    );

    let firmware = tenant.upload_firmware("1.1.0").await?;
    for device in &fleet {
        let path = format!("devices/{}/update", device.id);
        let body = json!({ "firmware_id": firmware });
        tenant
            .operator
            .post(&path, &body)
            .await?
            .expect_status(201)?;
    }
    let before = walk.rows().await?.len();
    ensure!(fleet[0].install().await?, "there is nothing to install");
    ensure!(
        fleet[1].fail("no space").await?,
        "there is nothing to install"
    );
    ensure!(walk.rows().await?.len() == before, "feedback left a row");
    Ok(())
}

async fn each_kind_of_actor_is_recorded(storage: ServerStorage) -> Result<()> {
    sqlx::any::install_default_drivers();
    let server = ServerProcess::start(&storage)?;
    let key = ["key", "create", "--user", "ada", "--role", "admin"];
    let key = output_of(storage.command()?.args(key))?;
    let rest = RestClient::anonymous(Client::new(), &server.url);
    let request = json!({ "tenant": "default", "user_id": "jo", "role": "admin" });
    let token = rest.post("auth/dev-token", &request).await?;
    let token = token.expect_status(200)?.json()?;
    let token = token["token"].as_str().context("a token")?;
    let clients = [rest.clone().with_token(token), rest.with_key(key.trim())];
    for (client, name) in clients.iter().zip(["by-token", "by-key"]) {
        let body = json!({ "name": name });
        client.post("gateways", &body).await?.expect_status(201)?;
    }

    let rows = rows(&storage.database_url(), 1).await?;
    let actor_of = |action: &str, name: &str| {
        let mut rows = rows.iter();
        let row = rows.find(|row| row.action == action && row.after.to_string().contains(name));
        let (kind, actor, role) = &row.with_context(|| format!("{action}: {rows:?}"))?.actor;
        anyhow::Ok(format!("{kind} {actor} {role}"))
    };
    let expected = [
        // The first key, and the built-in plugins.
        ("api_key.create", "admin", "server tidegate admin"),
        ("plugin.upload", "tidegate/canary", "server tidegate admin"),
        ("api_key.create", "ada", "command_line command line admin"),
        ("gateway.create", "by-token", "token jo admin"),
        ("gateway.create", "by-key", "key ada admin"),
    ];
    for (action, name, actor) in expected {
        ensure!(
            actor_of(action, name)? == actor,
            "{action} {name}: {rows:?}"
        );
    }

    // Of the key, a row has its id: the first 12 digits of the hash.
    let hash = hex::encode(Sha256::digest(key.trim()));
    let created = rows
        .iter()
        .find(|row| row.resource_id.as_deref() == Some(&hash[..12]));
    ensure!(
        created.is_some_and(|row| row.action == "api_key.create"),
        "{rows:?}"
    );
    let text = format!("{rows:?}");
    ensure!(
        !text.contains(key.trim()) && !text.contains(&hash[..13]),
        "{text}"
    );
    Ok(())
}
