//! The built-in plugins: their names are reserved, and the default policies among them decide unless others are named.

use anyhow::{Context as _, Result, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tidegate_e2e::{
    Device, HttpResponse, RestResponse as _, TestTenant, both_databases, components, wait_until,
};
use tidegate_engine::latest;
use tidegate_hostile::HostilePlugin;

both_databases!(
    a_campaign_without_policies_is_safe_on_a_mixed_fleet,
    an_edited_campaign_is_as_safe_as_a_new_one,
    an_update_that_names_no_policies_is_as_safe,
    an_update_of_an_earlier_version_that_names_no_policies_is_as_safe,
    no_other_component_decides_by_the_name_of_a_policy,
    without_a_default_policy_no_device_is_offered_an_update,
);

/// Devices with these models, and the id of a firmware for the model `rpi4` only.
async fn mixed_fleet(tenant: &TestTenant) -> Result<i64> {
    for (id, model) in [("old", "rpi3"), ("new", "rpi4")] {
        let device = tenant.device(id);
        device.poll().await?;
        device
            .report([
                ("hw_model", model),
                ("hw_revision", "1.0"),
                ("sw_version", "1.0.0"),
            ])
            .await?;
    }
    upload_for_rpi4(tenant, "2.0.0").await
}

/// Uploads a firmware for the model `rpi4` only. Returns its id.
async fn upload_for_rpi4(tenant: &TestTenant, version: &str) -> Result<i64> {
    let metadata = json!({ "name": "edge-os", "version": version, "device_model": "rpi4" });
    let form = Form::new().text("metadata", metadata.to_string()).part(
        "file",
        Part::bytes(b"firmware".to_vec()).file_name("os.bin"),
    );
    let request = tenant.publisher.request(Method::POST, "firmware");
    let created = HttpResponse::fetch(request.multipart(form)).await?;
    let created = created.expect_status(201)?.json()?;
    created["firmware_id"].as_i64().context("no id")
}

async fn a_campaign_without_policies_is_safe_on_a_mixed_fleet(tenant: TestTenant) -> Result<()> {
    let firmware = mixed_fleet(&tenant).await?;
    let health_only = json!({
        "target_filter": "device_id==*", "strategy": { "plugin": "immediate" },
        "policies": [{ "plugin": "failure-rate" }],
    });
    let id = tenant.create_campaign(firmware, health_only).await?;
    let started = tenant.send_command(id, "start").await?;
    let used: Vec<_> = started["policies"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|policy| policy["plugin"].as_str().unwrap_or_default())
        .collect();
    ensure!(
        used == [
            "tidegate/failure-rate",
            "tidegate/hardware",
            "tidegate/version-path"
        ],
        "{started}"
    );
    ensure!(started["excluded_devices"] == 1, "{started}");
    ensure!(started["warnings"] == json!([]), "{started}");
    let explained = tenant
        .viewer
        .get("devices/old/explain")
        .await?
        .expect_success()?;
    ensure!(
        explained.to_string().contains("tidegate/hardware: "),
        "{explained}"
    );
    tenant.send_command(id, "cancel").await?;

    let mut risky = json!({
        "target_filter": "device_id==*", "strategy": { "plugin": "immediate" },
        "allow_incompatible": true,
    });
    let mut body = TestTenant::campaign_body(firmware);
    for (name, value) in risky.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let created = tenant
        .operator
        .post("campaigns", &body)
        .await?
        .expect_status(201)?
        .json()?;
    let warning = "no compatibility policy is used";
    ensure!(
        created["warnings"].to_string().contains(warning),
        "{created}"
    );
    let id = created["campaign_id"].as_i64().context("no id")?;
    let started = tenant.send_command(id, "start").await?;
    ensure!(
        started["warnings"].to_string().contains(warning),
        "{started}"
    );
    ensure!(started["excluded_devices"] == 0, "{started}");
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;

    risky["policies"] = json!([{ "plugin": "hardware" }]);
    for (name, value) in risky.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    let refused = tenant.operator.post("campaigns", &body).await?;
    let refused = refused.expect_problem(422, "invalid_campaign")?;
    ensure!(
        refused["errors"][0]["field"] == "/allow_incompatible",
        "{refused}"
    );
    Ok(())
}

/// An empty list of policies leaves none out; only `force` does.
async fn an_update_that_names_no_policies_is_as_safe(tenant: TestTenant) -> Result<()> {
    let firmware = mixed_fleet(&tenant).await?;
    let update = async |device: &str, body: Value| {
        let path = format!("devices/{device}/update");
        tenant.operator.post(&path, &body).await
    };
    for options in [json!({}), json!({ "policies": [] })] {
        let mut body = options.clone();
        body["firmware_id"] = firmware.into();
        let refused = update("old", body).await?;
        let refused = refused.expect_problem(409, "incompatible")?;
        ensure!(refused["detail"].to_string().contains("rpi4"), "{refused}");
        let bulk = json!({
            "device_ids": ["old"], "firmware_id": firmware, "update_config": options,
        });
        let bulk = tenant.operator.post("devices/bulk/update", &bulk).await?;
        let bulk = bulk.expect_success()?;
        ensure!(bulk["refused"][0]["code"] == "incompatible", "{bulk}");
    }
    let named = json!({ "firmware_id": firmware, "policies": [{ "plugin": "version-path" }] });
    update("old", named).await?.expect_status(201)?;
    let none = json!({ "firmware_id": firmware, "policies": [] });
    update("new", none).await?.expect_status(201)?;
    Ok(())
}

/// Every change of the policies, and of the flag that leaves them out, has the effect that it has at creation.
async fn an_edited_campaign_is_as_safe_as_a_new_one(tenant: TestTenant) -> Result<()> {
    const WARNING: &str = "no compatibility policy is used";

    let firmware = mixed_fleet(&tenant).await?;
    let defaults = &["hardware", "version-path"][..];
    let named = |plugins: &[&str]| -> Value {
        let plugins = plugins.iter().map(|plugin| json!({ "plugin": plugin }));
        plugins.collect::<Vec<_>>().into()
    };
    let body = json!({
        "target_filter": "device_id==*", "strategy": { "plugin": "immediate" },
        "policies": named(&["failure-rate"]), "allow_incompatible": true,
    });
    let id = tenant.create_campaign(firmware, body).await?;
    let path = format!("campaigns/{id}");
    let edit = async |change: &Value| {
        let request = tenant.operator.request(Method::PATCH, &path).json(change);
        HttpResponse::fetch(request).await
    };
    let selected = |campaign: &Value| -> Vec<String> {
        let policies = campaign["policies"].as_array().into_iter().flatten();
        policies
            .filter_map(|policy| policy["plugin"].as_str()?.strip_prefix("tidegate/"))
            .map(str::to_owned)
            .collect()
    };
    let warns = |campaign: &Value| campaign["warnings"].to_string().contains(WARNING);

    let created = tenant.get_campaign(id).await?;
    ensure!(
        selected(&created) == ["failure-rate"] && warns(&created),
        "{created}"
    );
    for (change, expected) in [
        // What is left out stays: the flag does, while no compatibility policy is named.
        (json!({ "name": "renamed" }), &["failure-rate"][..]),
        (json!({ "policies": [] }), &[]),
        (
            json!({ "policies": named(&["failure-rate"]) }),
            &["failure-rate"],
        ),
        (json!({ "policies": null }), &[]),
        // A named policy takes its place.
        (json!({ "policies": named(&["hardware"]) }), &["hardware"]),
        (
            json!({ "policies": named(&["failure-rate", "version-path"]) }),
            &["failure-rate", "version-path"],
        ),
        // Without the flag, the default policies come back.
        (json!({ "policies": [] }), defaults),
        (
            json!({ "policies": named(&["failure-rate"]) }),
            &["failure-rate", "hardware", "version-path"],
        ),
        // The flag removes compatibility policies only.
        (json!({ "allow_incompatible": true }), &["failure-rate"]),
        (
            json!({ "allow_incompatible": false }),
            &["failure-rate", "hardware", "version-path"],
        ),
        (json!({ "allow_incompatible": true, "policies": null }), &[]),
        (json!({ "allow_incompatible": null }), defaults),
        (
            json!({ "allow_incompatible": false, "policies": named(&["hardware"]) }),
            &["hardware"],
        ),
        (json!({ "allow_incompatible": true }), &[]),
    ] {
        let edited = edit(&change).await?.expect_success()?;
        ensure!(selected(&edited) == expected, "{change}: {edited}");
        let is_checked = expected.iter().any(|name| defaults.contains(name));
        ensure!(warns(&edited) != is_checked, "{change}: {edited}");
        ensure!(tenant.get_campaign(id).await? == edited, "{change}");
    }
    // Both at once are refused, as at creation, and change nothing.
    let both = json!({ "allow_incompatible": true, "policies": named(&["hardware"]) });
    let refused = edit(&both).await?.expect_problem(422, "invalid_campaign")?;
    ensure!(
        refused["errors"][0]["field"] == "/allow_incompatible"
            && refused["errors"].as_array().map(Vec::len) == Some(1),
        "{refused}"
    );
    let unknown = json!({ "policies": named(&["hardware", "unknown"]) });
    let refused = edit(&unknown)
        .await?
        .expect_problem(422, "invalid_campaign")?;
    ensure!(
        refused["errors"][0]["field"] == "/policies/1/plugin"
            && refused["errors"].as_array().map(Vec::len) == Some(1),
        "{refused}"
    );

    let started = tenant.send_command(id, "start").await?;
    ensure!(
        warns(&started) && started["excluded_devices"] == 0,
        "{started}"
    );
    let safe = tenant
        .create_campaign(
            firmware,
            json!({
                "target_filter": "device_id==*", "strategy": { "plugin": "immediate" },
                "allow_incompatible": true,
            }),
        )
        .await?;
    let request = tenant
        .operator
        .request(Method::PATCH, &format!("campaigns/{safe}"))
        .json(&json!({ "allow_incompatible": false }));
    HttpResponse::fetch(request).await?.expect_success()?;
    let started = tenant.send_command(safe, "start").await?;
    ensure!(
        !warns(&started) && started["excluded_devices"] == 1,
        "{started}"
    );
    Ok(())
}

async fn no_other_component_decides_by_the_name_of_a_policy(tenant: TestTenant) -> Result<()> {
    let firmware = mixed_fleet(&tenant).await?;
    let built_in = std::fs::read(components()?.join("hardware.wasm"))?;
    // A custom section at the end makes it another component.
    let other = [&built_in[..], b"\x00\x06\x05other"].concat();
    let upload = async |component: Vec<u8>| {
        let part = Part::bytes(component).file_name("hardware.wasm");
        let request = tenant.publisher.request(Method::POST, "plugins");
        let form = Form::new().part("component", part);
        HttpResponse::fetch(request.multipart(form)).await
    };
    let refused = upload(other).await?.expect_problem(409, "reserved_name")?;
    ensure!(
        refused["detail"].to_string().contains("hardware"),
        "{refused}"
    );
    // The built-in component itself is there already.
    upload(built_in).await?.expect_status(201)?;
    let vendors = upload(HostilePlugin::Honest.component()?)
        .await?
        .expect_status(201)?
        .json()?;
    ensure!(
        vendors["origin"] == "upload"
            && vendors["created_by"] == "publisher"
            && vendors["state"] == "candidate",
        "{vendors}"
    );

    let plugin = tenant
        .viewer
        .get("plugins/tidegate/hardware")
        .await?
        .expect_success()?;
    let revisions = plugin["revisions"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    ensure!(
        revisions.len() == 1 && revisions[0]["origin"] == "built_in",
        "{plugin}"
    );
    let revision = revisions[0]["revision"].as_str().context("no revision")?;
    let disable = format!("plugins/tidegate/hardware/revisions/{revision}/disable");
    let refused = tenant.publisher.post(&disable, &json!({})).await?;
    refused.expect_problem(403, "role_missing")?;
    tenant
        .admin
        .post(&disable, &json!({}))
        .await?
        .expect_status(200)?;

    // Without a default policy nothing is let pass.
    let update = json!({ "firmware_id": firmware });
    let refused = tenant.operator.post("devices/new/update", &update).await?;
    let refused = refused.expect_problem(409, "incompatible")?;
    ensure!(
        is_about_missing(&refused["detail"], "hardware"),
        "{refused}"
    );
    let refused = tenant
        .operator
        .post("campaigns", &TestTenant::campaign_body(firmware))
        .await?
        .expect_problem(422, "invalid_campaign")?;
    let error = &refused["errors"][0];
    ensure!(
        error["field"] == "/policies" && is_about_missing(&error["message"], "hardware"),
        "{refused}"
    );

    let enable = format!("plugins/tidegate/hardware/revisions/{revision}/enable");
    for other in [&tenant.publisher, &tenant.operator, &tenant.approver] {
        let refused = other.post(&enable, &json!({})).await?;
        refused.expect_problem(403, "role_missing")?;
    }
    let plugin = tenant
        .viewer
        .get("plugins/tidegate/hardware")
        .await?
        .expect_success()?;
    ensure!(plugin["revisions"][0]["state"] == "disabled", "{plugin}");
    tenant
        .admin
        .post(&enable, &json!({}))
        .await?
        .expect_status(200)?;
    tenant
        .operator
        .post("devices/new/update", &update)
        .await?
        .expect_status(201)?;
    Ok(())
}

/// Bulk updates, rollbacks, devices that are checked again, and mode `latest`.
async fn without_a_default_policy_no_device_is_offered_an_update(tenant: TestTenant) -> Result<()> {
    let firmware = mixed_fleet(&tenant).await?;
    let older = upload_for_rpi4(&tenant, "1.5.0").await?;
    for policy in ["hardware", "version-path"] {
        let plugin = tenant
            .viewer
            .get(&format!("plugins/tidegate/{policy}"))
            .await?;
        let plugin = plugin.expect_success()?;
        let revision = plugin["revisions"][0]["revision"].as_str();
        let revision = revision.context("no revision")?;
        let switch = async |step: &str| -> Result<()> {
            let path = format!("plugins/tidegate/{policy}/revisions/{revision}/{step}");
            let switched = tenant.admin.post(&path, &json!({})).await?;
            switched.expect_status(200)?;
            Ok(())
        };
        let changed = rpi4(&tenant, &format!("{policy}-changed"), "1.0").await?;
        let other = rpi4(&tenant, &format!("{policy}-other"), "1.0").await?;
        let update = json!({ "firmware_id": firmware });
        let path = format!("devices/{}/update", changed.id);
        let offered = tenant.operator.post(&path, &update).await?;
        let offered = offered.expect_status(201)?.json()?;
        let mut updated = rpi4(&tenant, &format!("{policy}-updated"), "1.0").await?;
        let path = format!("devices/{}/update", updated.id);
        let update = json!({ "firmware_id": older });
        tenant
            .operator
            .post(&path, &update)
            .await?
            .expect_status(201)?;
        ensure!(updated.install().await?, "there is no update");
        switch("disable").await?;

        let bulk = json!({ "device_ids": [other.id], "firmware_id": firmware });
        let bulk = tenant.operator.post("devices/bulk/update", &bulk).await?;
        let bulk = bulk.expect_success()?;
        ensure!(bulk["accepted"] == json!([]), "{bulk}");
        let refused = &bulk["refused"][0];
        ensure!(
            refused["code"] == "incompatible" && is_about_missing(&refused["reason"], policy),
            "{bulk}"
        );

        // To a version that it has never had.
        if policy == "hardware" {
            let path = format!("devices/{}/rollback", updated.id);
            let body = json!({ "target_version": "2.0.0" });
            let refused = tenant.operator.post(&path, &body).await?;
            let refused = refused.expect_problem(409, "incompatible")?;
            ensure!(is_about_missing(&refused["detail"], policy), "{refused}");
        }

        changed.report([("hw_revision", "1.1")]).await?;
        ensure!(changed.offer().await?.is_none(), "it is offered unchecked");
        let path = format!("updates/{}", offered["update_id"]);
        let ended = wait_until("the update ends", async || {
            let update = tenant.viewer.get(&path).await?.expect_success()?;
            Ok((update["status"] == "cancelled").then_some(update))
        })
        .await?;
        ensure!(
            ended["error_code"] == "INCOMPATIBLE"
                && is_about_missing(&ended["error_message"], policy),
            "{ended}"
        );

        let path = format!("devices/{}", other.id);
        let latest = json!({ "mode": "latest" });
        let request = tenant.operator.request(Method::PATCH, &path).json(&latest);
        HttpResponse::fetch(request).await?.expect_success()?;
        let explained = tenant.viewer.get(&format!("{path}/explain")).await?;
        let explained = explained.expect_success()?;
        ensure!(
            is_about_missing(&explained["device"]["reasons"], policy),
            "{explained}"
        );
        latest::process_dirty_tenants(&tenant.server.engine).await?;
        ensure!(other.offer().await?.is_none(), "latest offers it unchecked");

        switch("enable").await?;
        other.report([("hw_revision", "1.1")]).await?;
        wait_until("latest offers it", async || other.offer().await).await?;
    }
    Ok(())
}

/// A device of the model `rpi4`.
async fn rpi4(tenant: &TestTenant, id: &str, revision: &str) -> Result<Device> {
    let device = tenant.device(id);
    device.poll().await?;
    device
        .report([
            ("hw_model", "rpi4"),
            ("hw_revision", revision),
            ("sw_version", "1.0.0"),
        ])
        .await?;
    Ok(device)
}

/// An empty list was stored as the choice of no policy.
async fn an_update_of_an_earlier_version_that_names_no_policies_is_as_safe(
    tenant: TestTenant,
) -> Result<()> {
    let firmware = mixed_fleet(&tenant).await?;
    let offered = tenant
        .operator
        .post("devices/new/update", &json!({ "firmware_id": firmware }))
        .await?;
    let update = offered.expect_status(201)?.json()?["update_id"].clone();
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&tenant.server.database_url()).await?;
    let choice = r#"{"policies":{"chosen":[]},"accepted":null}"#;
    let choose = format!("UPDATE updates SET compatibility = '{choice}' WHERE id = {update}");
    let chosen = sqlx::query(AssertSqlSafe(choose))
        .execute(&mut database)
        .await?;
    ensure!(chosen.rows_affected() == 1, "there is no update");
    database.close().await?;
    let device = tenant.device("new");
    device.report([("hw_model", "rpi3")]).await?;
    let path = format!("updates/{update}");
    let ended = wait_until("the update ends", async || {
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        Ok((update["status"] == "cancelled").then_some(update))
    })
    .await?;
    ensure!(ended["error_code"] == "INCOMPATIBLE", "{ended}");
    ensure!(
        device.offer().await?.is_none(),
        "it is offered to another board"
    );
    Ok(())
}

fn is_about_missing(text: &Value, policy: &str) -> bool {
    let missing = format!("{policy}: this default policy is not installed or is disabled");
    text.to_string().contains(&missing)
}
