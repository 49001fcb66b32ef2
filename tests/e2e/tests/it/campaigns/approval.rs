//! Approval of a campaign by a second user.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{HttpResponse, RestResponse as _, TestTenant, both_databases};

both_databases!(
    another_user_must_approve,
    an_edit_voids_the_approval,
    an_edit_replaces_dependent_fields,
);

async fn another_user_must_approve(tenant: TestTenant) -> Result<()> {
    tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let mut body = TestTenant::campaign_body(firmware);
    body["requires_approval"] = json!(true);
    // Created by an administrator, who may not approve a campaign of their own.
    let created = tenant
        .admin
        .post("campaigns", &body)
        .await?
        .expect_status(201)?
        .json()?;
    let path = format!("campaigns/{}", created["campaign_id"]);
    let approve = format!("{path}/approve");
    let comment = json!({ "approval_comment": "tried on my desk" });

    tenant
        .operator
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .expect_problem(409, "not_approved")?;
    tenant
        .admin
        .post(&approve, &comment)
        .await?
        .expect_problem(403, "own_campaign")?;
    tenant
        .operator
        .post(&approve, &comment)
        .await?
        .expect_problem(403, "role_missing")?;
    tenant
        .viewer
        .post(&approve, &comment)
        .await?
        .expect_problem(403, "role_missing")?;
    let before = tenant.viewer.get(&path).await?.expect_status(200)?.json()?;
    ensure!(
        before["approved"] == false && before["status"] == "created",
        "{before}"
    );

    let approved = tenant
        .approver
        .post(&approve, &comment)
        .await?
        .expect_success()?;
    ensure!(
        approved["approved"] == true && approved["approved_by"] == "approver",
        "{approved}"
    );
    ensure!(
        approved["approval_comment"] == "tried on my desk",
        "{approved}"
    );
    tenant
        .approver
        .post(&approve, &comment)
        .await?
        .expect_problem(409, "not_waiting")?;
    // An approver may not start it.
    tenant
        .approver
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .expect_problem(403, "role_missing")?;
    let started = tenant
        .operator
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .expect_success()?;
    ensure!(started["status"] == "in_progress", "{started}");
    Ok(())
}

async fn an_edit_voids_the_approval(tenant: TestTenant) -> Result<()> {
    let mut devices = tenant.create_devices("edge", 2).await?;
    let (first, second) = (
        tenant.upload_firmware("2.0.0").await?,
        tenant.upload_firmware("3.0.0").await?,
    );
    let id = tenant
        .create_campaign(first, json!({ "requires_approval": true }))
        .await?;
    let path = format!("campaigns/{id}");
    let (approve, start) = (format!("{path}/approve"), format!("{path}/start"));
    let edit = async |condition: Option<&str>, body: Value| {
        let mut request = tenant.operator.request(Method::PATCH, &path);
        if let Some(tag) = condition {
            request = request.header("if-match", tag);
        }
        HttpResponse::fetch(request.json(&body)).await
    };
    tenant
        .approver
        .post(&approve, &json!({}))
        .await?
        .expect_success()?;
    let read = tenant.viewer.get(&path).await?;
    let edited = edit(
        Some(read.header("etag")),
        json!({
            "firmware_id": second, "target_devices": ["edge-1"], "target_filter": null,
            "maintenance_window": { "schedule": "0 0 * * *", "duration": "24:00:00", "timezone": "UTC" },
        }),
    )
    .await?
    .expect_success()?;
    ensure!(
        edited["approved"] == false && edited["edited_by"] == "operator",
        "{edited}"
    );
    edit(Some(read.header("etag")), json!({ "name": "lost" }))
        .await?
        .expect_problem(412, "precondition_failed")?;
    tenant
        .operator
        .post(&start, &json!({}))
        .await?
        .expect_problem(409, "not_approved")?;
    tenant
        .approver
        .post(&approve, &json!({}))
        .await?
        .expect_success()?;
    tenant
        .operator
        .post(&start, &json!({}))
        .await?
        .expect_success()?;
    tenant
        .wait_for_status_while(id, "completed", async || {
            for device in &mut devices {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    ensure!(
        (&*devices[0].version, &*devices[1].version) == ("1.0.0", "3.0.0"),
        "{devices:?}"
    );
    edit(None, json!({ "name": "late" }))
        .await?
        .expect_problem(409, "campaign_started")?;
    Ok(())
}

/// A field that is only allowed with the previous value of another one is no error of a change.
async fn an_edit_replaces_dependent_fields(tenant: TestTenant) -> Result<()> {
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.create_campaign(firmware, json!({})).await?;
    let path = format!("campaigns/{id}");
    let policies = |campaign: &Value| -> Vec<String> {
        let policies = campaign["policies"].as_array().into_iter().flatten();
        policies
            .filter_map(|policy| policy["plugin"].as_str().map(str::to_owned))
            .collect()
    };
    let all = vec![
        "tidegate/hardware".to_owned(),
        "tidegate/version-path".to_owned(),
    ];
    let created = tenant.get_campaign(id).await?;
    ensure!(policies(&created) == all, "{created}");
    let forced_at = "2026-05-01T12:00:00.000Z";
    for (edit, expected, has_policies) in [
        (
            json!({ "deployment_strategy": "canary", "canary_percentage": 25.0 }),
            json!({ "strategy": { "plugin": "tidegate/canary", "config": { "canary_percentage": 25.0 } } }),
            true,
        ),
        (
            json!({ "strategy": { "config": { "canary_duration_minutes": 0 } } }),
            json!({ "strategy": { "plugin": "tidegate/canary", "config": {
                "canary_percentage": 25.0, "canary_duration_minutes": 0,
            } } }),
            true,
        ),
        (
            json!({ "strategy": { "plugin": "immediate" } }),
            json!({ "strategy": { "plugin": "tidegate/immediate", "config": {} } }),
            true,
        ),
        (json!({ "allow_incompatible": true }), json!({}), false),
        (
            json!({ "update_type": "time_forced", "forced_at": forced_at }),
            json!({ "update_type": "time_forced", "forced_at": forced_at }),
            false,
        ),
        (
            json!({ "allow_incompatible": null, "update_type": "soft" }),
            json!({ "update_type": "soft", "forced_at": null }),
            true,
        ),
    ] {
        let request = tenant.operator.request(Method::PATCH, &path).json(&edit);
        let edited = HttpResponse::fetch(request).await?.expect_success()?;
        for (field, value) in expected.as_object().into_iter().flatten() {
            let mut found = edited[field].clone();
            if let Some(plugin) = found.as_object_mut() {
                plugin.retain(|name, _| ["plugin", "config"].contains(&name.as_str()));
            }
            ensure!(found == *value, "{edit}: {found}");
        }
        let is_safe = edited["warnings"] == json!([]);
        let kept = if has_policies {
            all.clone()
        } else {
            Vec::new()
        };
        ensure!(
            is_safe == has_policies && policies(&edited) == kept,
            "{edit}: {edited}"
        );
    }
    Ok(())
}
