//! Isolation of tenants: what belongs to one tenant does not exist for another.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Credentials, Finished, HttpResponse, RestResponse as _, TestTenant, both_databases, close,
};

both_databases!(
    every_route_is_scoped_to_its_tenant,
    devices_access_only_their_own_updates
);

async fn every_route_is_scoped_to_its_tenant(ours: TestTenant) -> Result<()> {
    let mut fleet = ours.create_devices("edge", 2).await?;
    let firmware = ours.upload_firmware("2.0.0").await?;
    let id = ours
        .start_campaign(firmware, json!({ "max_concurrent_updates": 1 }))
        .await?;
    ours.wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    for device in &mut fleet {
        device.install().await?;
    }
    let plugin = ours
        .viewer
        .get("plugins/tidegate/canary")
        .await?
        .expect_status(200)?
        .json()?;
    let revision = plugin["revisions"][0]["revision"]
        .as_str()
        .context("no revision")?;
    let updates = ours.viewer.list(&format!("campaigns/{id}/updates")).await?;
    let update = &updates.first().context("no update")?["update_id"];
    let gateway = create_and_get_id(&ours, "gateways", json!({ "name": "north" })).await?;
    let certificate = rcgen::generate_simple_self_signed(["plant".to_owned()])?;
    let certificate = json!({ "name": "plant", "certificate": certificate.cert.pem() });
    let authority = create_and_get_id(&ours, "device-authorities", certificate).await?;
    let keys = ours.admin.get("keys").await?.expect_status(200)?.json()?;
    let key = keys["items"][0]["key_id"].as_str().context("no key")?;
    let theirs = TestTenant::new(ours.server.clone()).await?;

    // Every operation with an id in its path, called by an administrator of another tenant.
    let document = theirs
        .viewer
        .get("openapi.json")
        .await?
        .expect_status(200)?
        .json()?;
    let mut called = 0;
    for (path, item) in document["paths"].as_object().context("paths")? {
        // Both tenants have the built-in plugins.
        if !path.contains('{') || path.contains("/plugins/") {
            continue;
        }
        let filled = path
            .replace("{campaign_id}", &id.to_string())
            .replace("{firmware_id}", &firmware.to_string())
            .replace("{device_id}", "edge-0")
            .replace("{wave}", "0")
            .replace("{gate}", "next")
            .replace("{seq}", "1")
            .replace("{update_id}", &update.to_string())
            .replace("{gateway_id}", &gateway)
            .replace("{key_id}", key)
            .replace("{authority_id}", &authority);
        ensure!(
            !filled.contains('{'),
            "this test has no value for a parameter of {path}"
        );
        for method in ["get", "put", "post", "patch", "delete"] {
            if item.get(method).is_none() {
                continue;
            }
            let method: Method = method.to_uppercase().parse()?;
            let request = theirs.admin.request(method.clone(), &filled);
            let request = if method == Method::GET {
                request
            } else {
                request.json(&valid_body(path, firmware))
            };
            HttpResponse::fetch(request)
                .await?
                .expect_problem(404, "not_found")?;
            called += 1;
        }
    }
    ensure!(called > 15, "only {called} operations were called");

    // Lists and statistics do not include it, and its names are free.
    for list in ["firmware", "campaigns", "devices"] {
        ensure!(
            theirs.viewer.list(list).await?.is_empty(),
            "{list} of another tenant are listed"
        );
    }
    let stats = theirs
        .viewer
        .get("stats")
        .await?
        .expect_status(200)?
        .json()?;
    for what in ["devices", "updates", "campaigns"] {
        ensure!(stats[what]["total"] == 0, "{stats}");
    }
    let mut body = TestTenant::campaign_body(firmware);
    let refused = theirs
        .admin
        .post("campaigns", &body)
        .await?
        .expect_problem(422, "invalid_campaign")?;
    ensure!(refused["errors"][0]["field"] == "/firmware_id", "{refused}");
    theirs.upload_firmware("2.0.0").await?;
    body["target_devices"] = json!(["edge-0"]);
    let own = theirs.upload_firmware("3.0.0").await?;
    let without_devices = theirs
        .create_campaign(own, json!({ "target_filter": "device_id==edge-*" }))
        .await?;
    let start = format!("campaigns/{without_devices}/start");
    theirs
        .operator
        .post(&start, &json!({}))
        .await?
        .expect_problem(409, "no_devices")?;

    // Disabling a plugin affects one tenant only.
    let disable = format!("plugins/tidegate/canary/revisions/{revision}/disable");
    theirs
        .admin
        .post(&disable, &json!({}))
        .await?
        .expect_status(200)?;
    let plugin = ours
        .viewer
        .get("plugins/tidegate/canary")
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(plugin["revisions"][0]["state"] == "enabled", "{plugin}");
    let strategy = json!({ "strategy": { "plugin": "canary" } });
    ours.create_campaign(firmware, strategy).await?;
    Ok(())
}

/// Creates something. Returns its id, the last part of `Location`.
async fn create_and_get_id(tenant: &TestTenant, path: &str, body: Value) -> Result<String> {
    let response = tenant.admin.post(path, &body).await?.expect_status(201)?;
    let location = response.header("location").to_owned();
    let id = location.rsplit('/').next().context("no id")?;
    Ok(id.to_owned())
}

/// A valid body for the operation, so that the id is looked up.
fn valid_body(path: &str, firmware: i64) -> Value {
    match path {
        path if path.ends_with("/approve") => json!({ "approval_comment": "mine" }),
        path if path.ends_with("/update") => json!({ "firmware_id": firmware }),
        path if path.ends_with("/move") => {
            json!({ "revision": format!("sha256:{}", "0".repeat(64)) })
        }
        path if path.ends_with("/{campaign_id}") => json!({ "priority": "high" }),
        _ => json!({}),
    }
}

async fn devices_access_only_their_own_updates(ours: TestTenant) -> Result<()> {
    let theirs = TestTenant::new(ours.server.clone()).await?;
    // Both tenants have a device of this name, each with an update.
    let mut updates = Vec::new();
    for tenant in [&ours, &theirs] {
        let device = tenant.create_devices("edge", 2).await?.swap_remove(0);
        let firmware = tenant.upload_firmware("2.0.0").await?;
        let changes = json!({ "target_filter": null, "target_devices": ["edge-0"] });
        let id = tenant.start_campaign(firmware, changes).await?;
        tenant
            .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
            .await?;
        let offer = device.offer().await?.context("no offer")?;
        updates.push(offer);
    }
    // A gateway token is valid for its own tenant only.
    let foreign_gateway = ours
        .device("edge-0")
        .with_credentials(Credentials::Gateway(theirs.gateway.clone()));
    foreign_gateway.get("").await?.expect_status(401)?;

    // A device token is valid for its own device only.
    let created = ours
        .operator
        .post("devices", &json!({ "device_id": "own-0" }))
        .await?
        .expect_status(201)?
        .json()?;
    let token = created["token"].as_str().context("no token")?;
    let token = Credentials::Target(token.to_owned());
    ours.device("own-0")
        .with_credentials(token.clone())
        .get("")
        .await?
        .expect_status(200)?;
    ours.device("edge-0")
        .with_credentials(token.clone())
        .get("")
        .await?
        .expect_status(401)?;
    ours.device("own-1")
        .with_credentials(token.clone())
        .get("")
        .await?
        .expect_status(401)?;
    theirs
        .device("own-0")
        .with_credentials(token.clone())
        .get("")
        .await?
        .expect_status(401)?;

    // Updates and files of other devices are not found.
    let device = ours.device("edge-0");
    let other = ours.device("edge-1");
    for asking in [&device, &other] {
        let offer = if asking.id == "edge-0" {
            &updates[1]
        } else {
            &updates[0]
        };
        asking
            .get(&format!("deploymentBase/{}", offer.id))
            .await?
            .expect_status(404)?;
        asking
            .feedback(&offer.id, &close(Finished::Failure))
            .await?
            .expect_status(404)?;
        asking
            .cancel_feedback(&offer.id, &close(Finished::Success))
            .await?
            .expect_status(404)?;
        let file = offer.artifacts().next().context("no file")?;
        let link = file.http_href().context("no link")?;
        let below = link.split_once("/softwaremodules/").context("no link")?.1;
        asking
            .get(&format!("softwaremodules/{below}"))
            .await?
            .expect_status(404)?;
    }
    ensure!(
        ours.device("edge-0")
            .poll()
            .await?
            .deployment_base()
            .is_some(),
        "our update is gone"
    );
    ensure!(
        theirs
            .device("edge-0")
            .poll()
            .await?
            .deployment_base()
            .is_some(),
        "their update is gone"
    );
    Ok(())
}
