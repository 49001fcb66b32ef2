//! The audit trail: one row for each change by a user, none for anything else, and no secrets.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use reqwest::{
    Client, Method, RequestBuilder,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sqlx::{AnyConnection, Connection as _, Row as _};
use tidegate_e2e::{
    FirmwareForm, HttpResponse, RestClient, RestResponse as _, ServerProcess, ServerStorage,
    TestTenant, both_databases, output_of, wait_until,
};
use tidegate_hostile::HostilePlugin;

both_databases!(
    every_change_leaves_one_row,
    reports_of_devices_leave_no_row,
    each_kind_of_actor_is_recorded,
);

/// Ends of the paths of POST operations that change nothing.
const READ_ONLY_POSTS: [&str; 2] = ["/validate", "/replay"];

async fn every_change_leaves_one_row(tenant: TestTenant) -> Result<()> {
    let mut walk = AuditWalk::new(&tenant);
    let firmware = firmware(&mut walk).await?;
    plugins(&mut walk).await?;
    credentials(&mut walk).await?;
    devices(&mut walk).await?;
    updates(&mut walk, firmware).await?;
    approvals(&mut walk, firmware).await?;
    campaigns(&mut walk, firmware).await?;

    let unused = send(
        Method::DELETE,
        "firmware/{}",
        &unused_firmware(&tenant).await?,
        None,
    );
    let change = Change::of("delete /firmware/{firmware_id}", "firmware.delete").deleted();
    walk.succeeds(&tenant.publisher, change, unused).await?;
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
        ("plugin.upload", "canary", "server tidegate admin"),
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

async fn firmware(walk: &mut AuditWalk<'_>) -> Result<i64> {
    let mut ids = Vec::new();
    for version in ["1.1.0", "1.2.0"] {
        let form = FirmwareForm::new(version);
        let upload = |rest: &RestClient| {
            let form = form.form().unwrap_or_default();
            rest.request(Method::POST, "firmware").multipart(form)
        };
        let change = Change::of("post /firmware", "firmware.upload").created();
        let created = walk
            .succeeds(&walk.tenant.publisher, change, upload)
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

async fn unused_firmware(tenant: &TestTenant) -> Result<String> {
    Ok(tenant.upload_firmware("9.0.0").await?.to_string())
}

async fn plugins(walk: &mut AuditWalk<'_>) -> Result<()> {
    let tenant = walk.tenant;
    let component = HostilePlugin::Honest.component()?;
    let upload = |rest: &RestClient| {
        let part = Part::bytes(component.clone()).file_name("honest.wasm");
        let form = Form::new().part("component", part);
        rest.request(Method::POST, "plugins").multipart(form)
    };
    let change = Change::of("post /plugins", "plugin.upload")
        .created()
        .large();
    let uploaded = walk.succeeds(&tenant.publisher, change, upload).await?;
    walk.changes_nothing(&tenant.publisher, upload).await?;
    let [name, revision] = ["plugin", "revision"].map(|field| {
        let value = uploaded[field].as_str();
        value.unwrap_or_default().to_owned()
    });
    for step in ["disable", "enable"] {
        let path = format!("plugins/{name}/revisions/{revision}/{step}");
        let operation = format!("post /plugins/{{name}}/revisions/{{revision}}/{step}");
        let action = format!("plugin.{step}");
        let send = |rest: &RestClient| rest.request(Method::POST, &path);
        let change = Change::of(&operation, &action);
        walk.succeeds(&tenant.admin, change, send).await?;
        walk.changes_nothing(&tenant.admin, send).await?;
    }
    Ok(())
}

async fn credentials(walk: &mut AuditWalk<'_>) -> Result<()> {
    let tenant = walk.tenant;
    let settings = send(
        Method::PATCH,
        "settings",
        "",
        Some(json!({ "track_address": true })),
    );
    let change = Change::of("patch /settings", "settings.change");
    walk.succeeds(&tenant.admin, change, &settings).await?;
    walk.changes_nothing(&tenant.admin, &settings).await?;

    let body = json!({ "name": "hall", "group": "north" });
    let create = send(Method::POST, "gateways", "", Some(body));
    let change = Change::of("post /gateways", "gateway.create").created();
    let created = walk.succeeds(&tenant.admin, change, create).await?;
    walk.add_secret(created["token"].as_str().context("no token")?);
    let id = created["gateway"]["gateway_id"].to_string();
    let delete = send(Method::DELETE, "gateways/{}", &id, None);
    let change = Change::of("delete /gateways/{gateway_id}", "gateway.delete").deleted();
    walk.succeeds(&tenant.admin, change, delete).await?;

    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let digest = hex::encode(Sha256::digest(certificate.der()));
    let body = json!({ "name": "plant", "certificate": certificate.pem() });
    let create = send(Method::POST, "device-authorities", "", Some(body));
    let change = Change::of("post /device-authorities", "device_authority.create").created();
    let created = walk.succeeds(&tenant.admin, change, create).await?;
    let after = walk.last_row().await?.after;
    ensure!(
        after["certificate_sha256"] == digest && after["name"] == "plant",
        "{after}"
    );
    let id = created["authority_id"].to_string();
    let delete = send(Method::DELETE, "device-authorities/{}", &id, None);
    let operation = "delete /device-authorities/{authority_id}";
    let change = Change::of(operation, "device_authority.delete").deleted();
    walk.succeeds(&tenant.admin, change, delete).await?;
    let row = walk.last_row().await?;
    ensure!(row.before == after, "{row:?}");
    Ok(())
}

async fn devices(walk: &mut AuditWalk<'_>) -> Result<()> {
    let operator = &walk.tenant.operator;
    let body = json!({
        "device_id": "shed", "groups": ["north"], "labels": { "site": "a" },
        "attributes": { "hw_model": "rpi4" },
    });
    let create = send(Method::POST, "devices", "", Some(body));
    let change = Change::of("post /devices", "device.create").created();
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
    let patch = send(Method::PATCH, "devices/{}", "shed", Some(body));
    let change = Change::of("patch /devices/{device_id}", "device.change");
    walk.succeeds(operator, change, &patch).await?;
    walk.changes_nothing(operator, &patch).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before == json!({ "pinned": false, "groups": ["north"], "labels": { "site": "a" } })
            && row.after
                == json!({ "pinned": true, "groups": ["south"], "labels": { "site": "b" } }),
        "{row:?}"
    );

    let activate = send(
        Method::PUT,
        "devices/{}/auto-confirm",
        "shed",
        Some(json!({ "remark": "unattended" })),
    );
    let operation = "put /devices/{device_id}/auto-confirm";
    let change = Change::of(operation, "device.activate_auto_confirm");
    walk.succeeds(operator, change, &activate).await?;
    walk.changes_nothing(operator, &activate).await?;
    let deactivate = send(Method::DELETE, "devices/{}/auto-confirm", "shed", None);
    let operation = "delete /devices/{device_id}/auto-confirm";
    let change = Change::of(operation, "device.deactivate_auto_confirm");
    walk.succeeds(operator, change, &deactivate).await?;
    walk.changes_nothing(operator, &deactivate).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["auto_confirm"] == true && row.before["remark"] == "unattended",
        "{row:?}"
    );

    device_tokens(walk).await?;

    let delete = send(Method::DELETE, "devices/{}", "shed", None);
    let change = Change::of("delete /devices/{device_id}", "device.delete").deleted();
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
        let replace = send(Method::POST, "devices/{}/token", "shed", Some(body));
        let change = Change::of("post /devices/{device_id}/token", "device.replace_token");
        let replaced = walk.succeeds(operator, change, replace).await?;
        walk.add_secret(replaced["token"].as_str().context("no token")?);
        let row = walk.last_row().await?;
        let before = json!({ "has_token": true, "old_token_expires_at": old_token_expires_at });
        ensure!(row.before == before, "{row:?}");
        old_token_expires_at = row.after["old_token_expires_at"].clone();
        ensure!(old_token_expires_at.is_i64() == (lifetime > 0), "{row:?}");
    }
    let revoke = send(Method::DELETE, "devices/{}/token", "shed", None);
    let change = Change::of("delete /devices/{device_id}/token", "device.revoke_token");
    walk.succeeds(operator, change, revoke).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.after == json!({ "has_token": false, "old_token_expires_at": null }),
        "{row:?}"
    );
    Ok(())
}

async fn updates(walk: &mut AuditWalk<'_>, firmware: i64) -> Result<()> {
    let tenant = walk.tenant;
    let operator = &tenant.operator;
    let mut fleet = tenant.create_devices("press", 3).await?;
    let body = json!({ "firmware_id": firmware, "priority": "high" });
    let update = send(Method::POST, "devices/{}/update", "press-0", Some(body));
    let change = Change::of("post /devices/{device_id}/update", "update.create").created();
    let created = walk.succeeds(operator, change, &update).await?;
    let overrides = |ignored: bool| json!({ "ignore_pin": ignored, "ignore_installed": ignored });
    let row = walk.last_row().await?;
    ensure!(
        row.after["weight"] == 700 && row.after["overrides"] == overrides(false),
        "{row:?}"
    );
    walk.changes_nothing(operator, &update).await?;

    let id = created["update_id"].to_string();
    let cancel = send(
        Method::POST,
        "updates/{}/cancel",
        &id,
        Some(json!({ "reason": "too warm" })),
    );
    let change = Change::of("post /updates/{update_id}/cancel", "update.cancel");
    walk.succeeds(operator, change, &cancel).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before == json!({ "status": "offered" })
            && row.after == json!({ "status": "cancelling", "reason": "too warm" }),
        "{row:?}"
    );
    walk.changes_nothing(operator, &cancel).await?;
    let body = Some(json!({ "force": true }));
    let force = send(Method::POST, "updates/{}/cancel", &id, body);
    let change = Change::of("post /updates/{update_id}/cancel", "update.force_cancel");
    walk.succeeds(operator, change, &force).await?;
    let retry = send(Method::POST, "updates/{}/retry", &id, Some(json!({})));
    let change = Change::of("post /updates/{update_id}/retry", "update.retry").created();
    walk.succeeds(operator, change, &retry).await?;
    walk.changes_nothing(operator, &retry).await?;

    ensure!(fleet[0].install().await?, "there is nothing to install");
    let body = Some(json!({ "target_version": "1.1.0", "reason": "it hums" }));
    let roll_back = send(Method::POST, "devices/{}/rollback", "press-0", body);
    let change = Change::of("post /devices/{device_id}/rollback", "device.roll_back");
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
    let bulk = send(Method::POST, "devices/bulk/update", "", Some(body));
    let change = Change::of("post /devices/bulk/update", "update.create_many").created();
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

async fn approvals(walk: &mut AuditWalk<'_>, firmware: i64) -> Result<()> {
    let tenant = walk.tenant;
    tenant.create_devices("crane", 1).await?;
    let change = || Change::of("patch /settings", "settings.change");
    let set = |required: Value| {
        let patch = json!({ "requires_approval": required });
        send(Method::PATCH, "settings", "", Some(patch))
    };
    walk.succeeds(&tenant.admin, change(), &set(json!(true)))
        .await?;
    for (action, approved) in [("update.reject", false), ("update.approve", true)] {
        let update = json!({ "firmware_id": firmware, "force": true });
        let created = tenant.operator.post("devices/crane-0/update", &update);
        let created = created.await?.expect_status(201)?.json()?;
        let id = created["update_id"].to_string();
        let body = json!({ "approved": approved, "approval_comment": "not now" });
        let decide = send(Method::POST, "updates/{}/approve", &id, Some(body));
        let change = Change::of("post /updates/{update_id}/approve", action);
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

async fn campaigns(walk: &mut AuditWalk<'_>, firmware: i64) -> Result<()> {
    let tenant = walk.tenant;
    let operator = &tenant.operator;
    let mut fleet = tenant.create_devices("edge", 4).await?;
    let mut body = TestTenant::campaign_body(firmware);
    body["target_filter"] = "device_id==edge-*".into();
    body["requires_approval"] = true.into();
    body["strategy"] = json!({ "plugin": "canary", "config": {
        "canary_percentage": 25, "canary_duration_minutes": 0, "steps": [100], "require_approval": true,
    } });
    let create = send(Method::POST, "campaigns", "", Some(body.clone()));
    let change = Change::of("post /campaigns", "campaign.create").created();
    let created = walk.succeeds(operator, change, create).await?;
    let id = created["campaign_id"].to_string();

    let command = |step: &str| {
        let path = format!("campaigns/{{}}/{step}");
        send(Method::POST, &path, &id, Some(json!({})))
    };
    let operation = |step: &str| format!("post /campaigns/{{campaign_id}}/{step}");
    let approve = command("approve");
    let change = Change::of(&operation("approve"), "campaign.approve");
    walk.succeeds(&tenant.approver, change, &approve).await?;
    walk.changes_nothing(&tenant.approver, &approve).await?;
    let patch = send(
        Method::PATCH,
        "campaigns/{}",
        &id,
        Some(json!({ "priority": "high" })),
    );
    let change = Change::of("patch /campaigns/{campaign_id}", "campaign.change");
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
        let patch = send(Method::PATCH, "campaigns/{}", &id, Some(patch));
        let change = Change::of("patch /campaigns/{campaign_id}", "campaign.change");
        walk.succeeds(operator, change, &patch).await?;
        let row = walk.last_row().await?;
        ensure!(row.before == before && row.after == after, "{row:?}");
    }
    let change = Change::of(&operation("approve"), "campaign.approve");
    walk.succeeds(&tenant.approver, change, &approve).await?;
    for step in ["start", "pause", "resume"] {
        let send = command(step);
        let action = format!("campaign.{step}");
        let change = Change::of(&operation(step), &action);
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
    let advance = command("waves/1/advance");
    let change = Change::of(&operation("waves/{wave}/advance"), "campaign.advance");
    walk.succeeds(operator, change, &advance).await?;
    let reason = Some(json!({ "reason": "it hums" }));
    let roll_back = send(Method::POST, "campaigns/{}/rollback", &id, reason);
    let change = Change::of(&operation("rollback"), "campaign.roll_back");
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
    let cancel = send(Method::POST, "campaigns/{}/cancel", &id, Some(json!({})));
    let change = Change::of(&operation("cancel"), "campaign.cancel");
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
    let reject = send(Method::POST, "campaigns/{}/approve", &id, Some(refusal));
    let change = Change::of(&operation("approve"), "campaign.reject");
    walk.succeeds(&tenant.approver, change, &reject).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["status"] == "created"
            && row.after["status"] == "cancelled"
            && row.after["explain"] == json!(["Rejected by approver: not now"]),
        "{row:?}"
    );
    walk.changes_nothing(&tenant.approver, &reject).await?;
    let delete = send(Method::DELETE, "campaigns/{}", &id, None);
    let operation = "delete /campaigns/{campaign_id}";
    let change = Change::of(operation, "campaign.delete").deleted();
    walk.succeeds(operator, change, &delete).await?;
    let row = walk.last_row().await?;
    ensure!(
        row.before["name"] == body["name"] && row.before["status"] == "cancelled",
        "{row:?}"
    );
    walk.changes_nothing(operator, &delete).await
}

/// A request; `{}` in the path stands for `id`.
fn send(
    method: Method,
    path: &str,
    id: &str,
    body: Option<Value>,
) -> impl Fn(&RestClient) -> RequestBuilder + use<> {
    let path = path.replace("{}", id);
    move |rest: &RestClient| {
        let request = rest.request(method.clone(), &path);
        match &body {
            Some(body) => request.json(body),
            None => request,
        }
    }
}

/// Makes changes and compares the rows that they leave.
struct AuditWalk<'a> {
    tenant: &'a TestTenant,
    /// Operations as `method path`, in lower case.
    covered: BTreeSet<String>,
    secrets: Vec<String>,
}

/// An operation and the row that it leaves.
struct Change {
    operation: String,
    action: String,
    has_before: bool,
    has_after: bool,
    /// Whether the body is too large to be read by a server that refuses it.
    is_large: bool,
}

impl Change {
    fn of(operation: &str, action: &str) -> Self {
        Self {
            operation: operation.to_owned(),
            action: action.to_owned(),
            has_before: true,
            has_after: true,
            is_large: false,
        }
    }

    /// Nothing before.
    fn created(mut self) -> Self {
        self.has_before = false;
        self
    }

    fn large(mut self) -> Self {
        self.is_large = true;
        self
    }

    /// Nothing after.
    fn deleted(mut self) -> Self {
        self.has_after = false;
        self
    }
}

#[derive(Debug)]
struct AuditRow {
    actor: (String, String, String),
    request_id: String,
    action: String,
    resource_kind: String,
    resource_id: Option<String>,
    before: Value,
    after: Value,
}

impl<'a> AuditWalk<'a> {
    fn new(tenant: &'a TestTenant) -> Self {
        sqlx::any::install_default_drivers();
        Self {
            tenant,
            covered: BTreeSet::new(),
            secrets: vec![tenant.gateway.clone()],
        }
    }

    /// A viewer is refused and leaves no row; the client succeeds and leaves this one.
    async fn succeeds(
        &mut self,
        rest: &RestClient,
        change: Change,
        request: impl Fn(&RestClient) -> RequestBuilder,
    ) -> Result<Value> {
        let before = self.rows().await?.len();
        if !change.is_large {
            let refused = HttpResponse::fetch(request(&self.tenant.viewer)).await?;
            refused.expect_problem(403, "role_missing")?;
            let rows = self.rows().await?.len();
            ensure!(rows == before, "{}: a refusal left a row", change.operation);
        }

        let request_id = format!("audit-walk-{before}");
        let sent = request(rest).header("x-request-id", &request_id);
        let response = HttpResponse::fetch(sent).await?;
        ensure!(response.status.is_success(), "{response}");
        let mut rows = self.rows().await?.split_off(before);
        ensure!(rows.len() == 1, "{}: {rows:?}", change.operation);
        let row = rows.remove(0);
        let (kind, name, role) = &row.actor;
        ensure!(kind == "key" && name == role && !name.is_empty(), "{row:?}");
        ensure!(row.request_id == request_id, "{row:?}");
        ensure!(row.action == change.action, "{row:?}");
        let kind = change.action.split('.').next();
        ensure!(kind == Some(row.resource_kind.as_str()), "{row:?}");
        ensure!(row.before.is_object() == change.has_before, "{row:?}");
        ensure!(row.after.is_object() == change.has_after, "{row:?}");
        self.covered.insert(change.operation);
        if response.body.is_empty() {
            return Ok(Value::Null);
        }
        Ok(response.json()?)
    }

    /// The client's request is refused or changes nothing, and leaves no row.
    async fn changes_nothing(
        &self,
        rest: &RestClient,
        request: impl Fn(&RestClient) -> RequestBuilder,
    ) -> Result<()> {
        let before = self.rows().await?.len();
        let response = HttpResponse::fetch(request(rest)).await?;
        ensure!(!response.status.is_server_error(), "{response}");
        let rows = self.rows().await?.split_off(before);
        ensure!(rows.is_empty(), "{response}: {rows:?}");
        Ok(())
    }

    fn add_secret(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Every operation of the OpenAPI document that changes something was called.
    async fn ensure_complete(&self) -> Result<()> {
        let document = self
            .tenant
            .viewer
            .get("openapi.json")
            .await?
            .expect_success()?;
        let mut operations = BTreeSet::new();
        for (path, item) in document["paths"].as_object().context("no paths")? {
            let short = path.strip_prefix("/api/v1").unwrap_or(path);
            for method in ["put", "post", "patch", "delete"] {
                let reads = READ_ONLY_POSTS.iter().any(|end| path.ends_with(end));
                if item.get(method).is_some() && !reads {
                    operations.insert(format!("{method} {short}"));
                }
            }
        }
        let missing: Vec<_> = operations.difference(&self.covered).collect();
        ensure!(missing.is_empty(), "not called: {missing:?}");
        let unknown: Vec<_> = self.covered.difference(&operations).collect();
        ensure!(unknown.is_empty(), "not in the document: {unknown:?}");
        Ok(())
    }

    /// No row has a token or its hash.
    async fn ensure_no_secrets(&self) -> Result<()> {
        let rows = format!("{:?}", self.rows().await?);
        for secret in &self.secrets {
            let hash = hex::encode(Sha256::digest(secret));
            ensure!(secret.len() >= 32, "{secret} is short");
            ensure!(
                !rows.contains(secret.as_str()) && !rows.contains(&hash),
                "{rows}"
            );
        }
        Ok(())
    }

    async fn last_row(&self) -> Result<AuditRow> {
        self.rows().await?.pop().context("no row")
    }

    async fn rows(&self) -> Result<Vec<AuditRow>> {
        rows(&self.tenant.server.database_url(), self.tenant.record.id.0).await
    }
}

/// The rows of a tenant, in order.
async fn rows(database_url: &str, tenant_id: i64) -> Result<Vec<AuditRow>> {
    let mut connection = AnyConnection::connect(database_url).await?;
    let rows = sqlx::query(
        "SELECT actor_kind, actor, role, request_id, action, resource_kind, resource_id, \
         before_json, after_json FROM audit WHERE tenant_id = $1 ORDER BY id",
    )
    .bind(tenant_id)
    .fetch_all(&mut connection)
    .await?;
    connection.close().await?;
    let json = |text: Option<String>| -> Result<Value> {
        Ok(text
            .map(|text| serde_json::from_str(&text))
            .transpose()?
            .unwrap_or_default())
    };
    rows.iter()
        .map(|row| {
            Ok(AuditRow {
                actor: (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?),
                request_id: row.try_get(3)?,
                action: row.try_get(4)?,
                resource_kind: row.try_get(5)?,
                resource_id: row.try_get(6)?,
                before: json(row.try_get(7)?)?,
                after: json(row.try_get(8)?)?,
            })
        })
        .collect()
}
