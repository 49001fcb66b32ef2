//! Approval of a campaign by a second user.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{HttpResponse, RestResponse as _, TestTenant, both_databases};

both_databases!(another_user_must_approve, an_edit_voids_the_approval);

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
