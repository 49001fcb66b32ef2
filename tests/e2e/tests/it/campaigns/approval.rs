//! Approval of a campaign by a second user.

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{RestResponse as _, TestTenant, both_databases};

both_databases!(another_user_must_approve);

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
