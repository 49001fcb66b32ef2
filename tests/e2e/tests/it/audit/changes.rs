//! Every operation that changes something, with the rows that it leaves.

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_e2e::{
    FirmwareForm, HttpResponse, RestClient, RestResponse as _, TestTenant, wait_until,
};
use tidegate_hostile::{HostilePlugin, core_module};

use super::walk::{AuditWalk, Change, Operation};
use crate::campaigns::move_revision::two_versions;

pub(super) async fn firmware(walk: &mut AuditWalk<'_>) -> Result<i64> {
    let mut ids = Vec::new();
    for version in ["1.1.0", "1.2.0"] {
        let form = FirmwareForm::new(version);
        let upload = Operation::new("post /firmware", move |rest: &RestClient| {
            let form = form.form().unwrap_or_default();
            rest.request(Method::POST, "firmware").multipart(form)
        });
        let change = Change::of("firmware.upload").created();
        let created = walk
            .succeeds(&walk.tenant.publisher, change, &upload)
            .await?;
        ids.push(created["firmware_id"].as_i64().context("no id")?);
        let row = walk.last_row().await?;
        let file = &created["modules"][0]["artifacts"][0];
        let expected =
            json!([{ "filename": file["filename"], "sha256": file["hashes"]["sha256"] }]);
        ensure!(
            row.after["files"] == expected && row.after["description"] == created["description"],
            "{row:?} {created}"
        );
    }
    Ok(ids[1])
}

pub(super) async fn unused_firmware(tenant: &TestTenant) -> Result<String> {
    Ok(tenant.upload_firmware("9.0.0").await?.to_string())
}

pub(super) async fn plugins(walk: &mut AuditWalk<'_>) -> Result<()> {
    const REVISION: &str = "plugins/{vendor}/{name}/revisions/{revision}";

    let tenant = walk.tenant;
    let component = HostilePlugin::Honest.component()?;
    let upload = Operation::new("post /plugins", move |rest: &RestClient| {
        let part = Part::bytes(component.clone()).file_name("honest.wasm");
        let form = Form::new().part("component", part);
        rest.request(Method::POST, "plugins").multipart(form)
    });
    let change = Change::of("plugin.upload").created().large();
    let uploaded = walk.succeeds(&tenant.publisher, change, &upload).await?;
    walk.changes_nothing(&tenant.publisher, &upload).await?;
    let [plugin, revision] =
        ["plugin", "revision"].map(|field| uploaded[field].as_str().unwrap_or_default());
    let (vendor, name) = plugin.split_once('/').unwrap_or_default();
    // A rejected upload leaves its reason.
    let part = Part::bytes(core_module()?).file_name("module.wasm");
    let form = Form::new().part("component", part);
    let request = tenant.publisher.request(Method::POST, "plugins");
    let refused = HttpResponse::fetch(request.multipart(form)).await?;
    refused.expect_problem(422, "plugin_rejected")?;
    let row = walk.last_row().await?;
    ensure!(
        row.action == "plugin.reject" && row.after["reason"].is_string(),
        "{row:?}"
    );

    for step in ["enable", "default", "deprecate", "disable"] {
        let path = format!("{REVISION}/{step}");
        let action = format!("plugin.{step}");
        let switch = Operation::post(&path, &[vendor, name, revision], json!({}));
        let change = Change::of(&action);
        walk.succeeds(&tenant.admin, change, &switch).await?;
        walk.changes_nothing(&tenant.admin, &switch).await?;
    }
    let reset = Operation::delete("plugins/{vendor}/{name}/default", &[vendor, name]);
    let change = Change::of("plugin.default");
    walk.succeeds(&tenant.admin, change, &reset).await?;
    walk.changes_nothing(&tenant.admin, &reset).await?;
    let delete = Operation::delete(REVISION, &[vendor, name, revision]);
    let change = Change::of("plugin.delete").deleted();
    walk.succeeds(&tenant.admin, change, &delete).await?;
    Ok(())
}

pub(super) async fn credentials(walk: &mut AuditWalk<'_>) -> Result<()> {
    let tenant = walk.tenant;
    let settings = Operation::patch("settings", &[], json!({ "track_address": true }));
    let change = Change::of("settings.change");
    walk.succeeds(&tenant.admin, change, &settings).await?;
    walk.changes_nothing(&tenant.admin, &settings).await?;

    let body = json!({ "name": "hall", "group": "north" });
    let create = Operation::post("gateways", &[], body);
    let change = Change::of("gateway.create").created();
    let created = walk.succeeds(&tenant.admin, change, &create).await?;
    walk.add_secret(created["token"].as_str().context("no token")?);
    let id = created["gateway"]["gateway_id"].to_string();
    let delete = Operation::delete("gateways/{gateway_id}", &[&id]);
    let change = Change::of("gateway.delete").deleted();
    walk.succeeds(&tenant.admin, change, &delete).await?;

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let digest = hex::encode(Sha256::digest(certificate.der()));
    let body = json!({ "name": "plant", "certificate": certificate.pem() });
    let create = Operation::post("device-authorities", &[], body);
    let change = Change::of("device_authority.create").created();
    let created = walk.succeeds(&tenant.admin, change, &create).await?;
    let after = walk.last_row().await?.after;
    ensure!(
        after["certificate_sha256"] == digest && after["name"] == "plant",
        "{after}"
    );
    let id = created["authority_id"].to_string();
    let delete = Operation::delete("device-authorities/{authority_id}", &[&id]);
    let change = Change::of("device_authority.delete").deleted();
    walk.succeeds(&tenant.admin, change, &delete).await?;
    let row = walk.last_row().await?;
    ensure!(row.before == after, "{row:?}");
    Ok(())
}

pub(super) async fn devices(walk: &mut AuditWalk<'_>) -> Result<()> {
    let operator = &walk.tenant.operator;
    let body = json!({
        "device_id": "shed", "groups": ["north"], "labels": { "site": "a" },
        "attributes": { "hw_model": "rpi4" },
    });
    let create = Operation::post("devices", &[], body);
    let change = Change::of("device.create").created();
    let created = walk.succeeds(operator, change, &create).await?;
    walk.add_secret(created["token"].as_str().context("no token")?);
    let row = walk.last_row().await?;
    ensure!(
        row.after["attributes"] == json!({ "hw_model": "rpi4" })
            && row.after["groups"] == json!(["north"]),
        "{row:?}"
    );
    walk.changes_nothing(operator, &create).await?;

    let body = json!({ "pinned": true, "groups": ["south"], "labels": { "site": "b" } });
    let patch = Operation::patch("devices/{device_id}", &["shed"], body);
    let change = Change::of("device.change");
    walk.succeeds(operator, change, &patch).await?;
    walk.changes_nothing(operator, &patch).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before == json!({ "pinned": false, "groups": ["north"], "labels": { "site": "a" } })
            && row.after
                == json!({ "pinned": true, "groups": ["south"], "labels": { "site": "b" } }),
        "{row:?}"
    );

    let activate = Operation::put(
        "devices/{device_id}/auto-confirm",
        &["shed"],
        json!({ "remark": "unattended" }),
    );
    let change = Change::of("device.activate_auto_confirm");
    walk.succeeds(operator, change, &activate).await?;
    walk.changes_nothing(operator, &activate).await?;
    let deactivate = Operation::delete("devices/{device_id}/auto-confirm", &["shed"]);
    let change = Change::of("device.deactivate_auto_confirm");
    walk.succeeds(operator, change, &deactivate).await?;
    walk.changes_nothing(operator, &deactivate).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["auto_confirm"] == true && row.before["remark"] == "unattended",
        "{row:?}"
    );

    device_tokens(walk).await?;

    let delete = Operation::delete("devices/{device_id}", &["shed"]);
    let change = Change::of("device.delete").deleted();
    walk.succeeds(operator, change, &delete).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["groups"] == json!(["south"]) && row.before["labels"] == json!({ "site": "b" }),
        "{row:?}"
    );
    walk.changes_nothing(operator, &delete).await
}

async fn device_tokens(walk: &mut AuditWalk<'_>) -> Result<()> {
    let operator = &walk.tenant.operator;
    let mut old_token_expires_at = Value::Null;
    // Each replacement leaves a row, also if it changes nothing that can be shown.
    for lifetime in [3600, 60, 0, 0] {
        let body = json!({ "old_token_expires_in": lifetime });
        let replace = Operation::post("devices/{device_id}/token", &["shed"], body);
        let change = Change::of("device.replace_token");
        let replaced = walk.succeeds(operator, change, &replace).await?;
        walk.add_secret(replaced["token"].as_str().context("no token")?);
        let row = walk.last_row().await?;
        let before = json!({ "has_token": true, "old_token_expires_at": old_token_expires_at });
        ensure!(row.before == before, "{row:?}");
        old_token_expires_at = row.after["old_token_expires_at"].clone();
        ensure!(old_token_expires_at.is_i64() == (lifetime > 0), "{row:?}");
    }
    let revoke = Operation::delete("devices/{device_id}/token", &["shed"]);
    let change = Change::of("device.revoke_token");
    walk.succeeds(operator, change, &revoke).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.after == json!({ "has_token": false, "old_token_expires_at": null }),
        "{row:?}"
    );
    Ok(())
}

pub(super) async fn updates(walk: &mut AuditWalk<'_>, firmware: i64) -> Result<()> {
    let tenant = walk.tenant;
    let operator = &tenant.operator;
    let mut fleet = tenant.create_devices("press", 3).await?;
    let body = json!({ "firmware_id": firmware, "priority": "high" });
    let update = Operation::post("devices/{device_id}/update", &["press-0"], body);
    let change = Change::of("update.create").created();
    let created = walk.succeeds(operator, change, &update).await?;
    let overrides = |ignored: bool| json!({ "ignore_pin": ignored, "ignore_installed": ignored });
    let row = walk.last_row().await?;
    ensure!(
        row.after["weight"] == 700 && row.after["overrides"] == overrides(false),
        "{row:?}"
    );
    walk.changes_nothing(operator, &update).await?;

    let id = created["update_id"].to_string();
    let cancel = Operation::post(
        "updates/{update_id}/cancel",
        &[&id],
        json!({ "reason": "too warm" }),
    );
    let change = Change::of("update.cancel");
    walk.succeeds(operator, change, &cancel).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before == json!({ "status": "offered" })
            && row.after == json!({ "status": "cancelling", "reason": "too warm" }),
        "{row:?}"
    );
    walk.changes_nothing(operator, &cancel).await?;
    let body = json!({ "force": true });
    let force = Operation::post("updates/{update_id}/cancel", &[&id], body);
    let change = Change::of("update.force_cancel");
    walk.succeeds(operator, change, &force).await?;
    let retry = Operation::post("updates/{update_id}/retry", &[&id], json!({}));
    let change = Change::of("update.retry").created();
    walk.succeeds(operator, change, &retry).await?;
    walk.changes_nothing(operator, &retry).await?;

    ensure!(fleet[0].install().await?, "there is nothing to install");
    let body = json!({ "target_version": "1.1.0", "reason": "it hums" });
    let roll_back = Operation::post("devices/{device_id}/rollback", &["press-0"], body);
    let change = Change::of("device.roll_back");
    walk.succeeds(operator, change, &roll_back).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.after["reason"] == "it hums"
            && row.after["weight"] == 1000
            && row.after["overrides"].is_object(),
        "{row:?}"
    );
    walk.changes_nothing(operator, &roll_back).await?;

    let body = json!({ "device_ids": ["press-1", "press-2", "unknown"], "firmware_id": firmware, "update_config": { "force": true } });
    let bulk = Operation::post("devices/bulk/update", &[], body);
    let change = Change::of("update.create_many").created();
    walk.succeeds(operator, change, &bulk).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.after["count"] == 2
            && row.resource_id.is_none()
            && row.after["weight"] == 500
            && row.after["overrides"] == overrides(true),
        "{row:?}"
    );
    walk.changes_nothing(operator, &bulk).await
}

pub(super) async fn approvals(walk: &mut AuditWalk<'_>, firmware: i64) -> Result<()> {
    let tenant = walk.tenant;
    tenant.create_devices("crane", 1).await?;
    let change = || Change::of("settings.change");
    let set = |required: Value| {
        let patch = json!({ "requires_approval": required });
        Operation::patch("settings", &[], patch)
    };
    walk.succeeds(&tenant.admin, change(), &set(json!(true)))
        .await?;
    for (action, approved) in [("update.reject", false), ("update.approve", true)] {
        let update = json!({ "firmware_id": firmware, "force": true });
        let created = tenant.operator.post("devices/crane-0/update", &update);
        let created = created.await?.expect_status(201)?.json()?;
        let id = created["update_id"].to_string();
        let body = json!({ "approved": approved, "approval_comment": "not now" });
        let decide = Operation::post("updates/{update_id}/approve", &[&id], body);
        let change = Change::of(action);
        walk.succeeds(&tenant.approver, change, &decide).await?;
        let row = walk.last_row().await?;
        ensure!(
            row.resource_id.as_deref() == Some(&id)
                && row.before == json!({ "approved": null })
                && row.after == json!({ "approved": approved, "comment": "not now" }),
            "{row:?}"
        );
        walk.changes_nothing(&tenant.approver, &decide).await?;
    }
    walk.succeeds(&tenant.admin, change(), &set(Value::Null))
        .await?;
    Ok(())
}

pub(super) async fn campaigns(walk: &mut AuditWalk<'_>, firmware: i64) -> Result<()> {
    let tenant = walk.tenant;
    let operator = &tenant.operator;
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let mut body = TestTenant::campaign_body(firmware);
    body["target_filter"] = "device_id==edge-*".into();
    body["requires_approval"] = true.into();
    body["strategy"] = json!({ "plugin": "canary", "config": {
        "canary_percentage": 25, "canary_duration_minutes": 0, "steps": [50, 100], "require_approval": true,
    } });
    let create = Operation::post("campaigns", &[], body.clone());
    let change = Change::of("campaign.create").created();
    let created = walk.succeeds(operator, change, &create).await?;
    let id = created["campaign_id"].to_string();

    let command = |step: &str| {
        let path = format!("campaigns/{{campaign_id}}/{step}");
        Operation::post(&path, &[&id], json!({}))
    };
    let approve = command("approve");
    let change = Change::of("campaign.approve");
    walk.succeeds(&tenant.approver, change, &approve).await?;
    walk.changes_nothing(&tenant.approver, &approve).await?;
    let patch = Operation::patch(
        "campaigns/{campaign_id}",
        &[&id],
        json!({ "priority": "high" }),
    );
    let change = Change::of("campaign.change");
    walk.succeeds(operator, change, &patch).await?;
    walk.changes_nothing(operator, &patch).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before == json!({ "priority": "normal", "approved_by": "approver" })
            && row.after == json!({ "priority": "high", "approved_by": null }),
        "{row:?}"
    );
    // Also what the campaign itself shows only after the change.
    let config = |percentage: u8| json!({ "canary_percentage": percentage });
    let configs = |percentage| json!({ "configs": { "strategy": config(percentage) } });
    for (patch, before, after) in [
        (
            json!({ "description": "hums" }),
            json!({ "description": "" }),
            json!({ "description": "hums" }),
        ),
        (
            json!({ "strategy": { "config": config(50) } }),
            configs(25),
            configs(50),
        ),
        (
            json!({ "strategy": { "config": config(25) } }),
            configs(50),
            configs(25),
        ),
    ] {
        let patch = Operation::patch("campaigns/{campaign_id}", &[&id], patch);
        let change = Change::of("campaign.change");
        walk.succeeds(operator, change, &patch).await?;
        let row = walk.last_row().await?;
        ensure!(row.before == before && row.after == after, "{row:?}");
    }
    let change = Change::of("campaign.approve");
    walk.succeeds(&tenant.approver, change, &approve).await?;
    for step in ["start", "pause", "resume"] {
        let send = command(step);
        let action = format!("campaign.{step}");
        let change = Change::of(&action);
        walk.succeeds(operator, change, &send).await?;
        walk.changes_nothing(operator, &send).await?;
    }
    let waits = |entry: &Value| entry["outcome"] == "await_operator";
    let number: i64 = id.parse()?;
    wait_until("the strategy waits for an operator", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(tenant
            .journal(number)
            .await?
            .iter()
            .any(waits)
            .then_some(()))
    })
    .await?;
    let waiting = operator.get(&format!("campaigns/{id}")).await?;
    let waiting = waiting.expect_status(200)?.json()?;
    let gate = waiting["awaiting"]["gate"].as_str().context("a gate")?;
    let gate = gate.replace('%', "%25").replace(' ', "%20");
    let operation = "campaigns/{campaign_id}/gates/{gate}/advance";
    let advance = Operation::post(operation, &[&id, &gate], json!({}));
    let change = Change::of("campaign.advance");
    walk.succeeds(operator, change, &advance).await?;
    let operation = "campaigns/{campaign_id}/waves/{wave}/advance";
    let advance = Operation::post(operation, &[&id, "2"], json!({}));
    let change = Change::of("campaign.advance");
    walk.succeeds(operator, change, &advance).await?;
    let reason = json!({ "reason": "it hums" });
    let roll_back = Operation::post("campaigns/{campaign_id}/rollback", &[&id], reason);
    let change = Change::of("campaign.roll_back");
    walk.succeeds(operator, change, &roll_back).await?;
    let row = walk.last_row().await?;
    ensure!(row.after["reason"] == "it hums", "{row:?}");

    body["requires_approval"] = false.into();
    let created = operator
        .post("campaigns", &body)
        .await?
        .expect_status(201)?
        .json()?;
    let id = created["campaign_id"].to_string();
    let cancel = Operation::post("campaigns/{campaign_id}/cancel", &[&id], json!({}));
    let change = Change::of("campaign.cancel");
    walk.succeeds(operator, change, &cancel).await?;
    walk.changes_nothing(operator, &cancel).await?;

    body["requires_approval"] = true.into();
    let created = operator
        .post("campaigns", &body)
        .await?
        .expect_status(201)?
        .json()?;
    let id = created["campaign_id"].to_string();
    let refusal = json!({ "approved": false, "approval_comment": "not now" });
    let reject = Operation::post("campaigns/{campaign_id}/approve", &[&id], refusal);
    let change = Change::of("campaign.reject");
    walk.succeeds(&tenant.approver, change, &reject).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["status"] == "created"
            && row.after["status"] == "cancelled"
            && row.after["explain"] == json!(["Rejected by approver: not now"]),
        "{row:?}"
    );
    walk.changes_nothing(&tenant.approver, &reject).await?;
    let delete = Operation::delete("campaigns/{campaign_id}", &[&id]);
    let change = Change::of("campaign.delete").deleted();
    walk.succeeds(operator, change, &delete).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["name"] == body["name"] && row.before["status"] == "cancelled",
        "{row:?}"
    );
    walk.changes_nothing(operator, &delete).await
}

/// A campaign that is moved to another revision of its strategy.
pub(super) async fn moves(walk: &mut AuditWalk<'_>) -> Result<()> {
    let tenant = walk.tenant;
    tenant.create_devices("moved", 1).await?;
    let firmware = tenant.upload_firmware("8.0.0").await?;
    let [before, after] = two_versions(tenant).await?;
    let strategy =
        json!({ "plugin": "acme/hostile", "revision": before["revision"], "config": {} });
    let id = tenant.start_campaign(firmware, json!({ "strategy": strategy }));
    let id = id.await?.to_string();
    let body = json!({ "revision": after["revision"] });
    let send = Operation::post("campaigns/{campaign_id}/move", &[&id], body);
    let change = Change::of("campaign.repin");
    walk.succeeds(&tenant.admin, change, &send).await?;
    walk.changes_nothing(&tenant.admin, &send).await
}
