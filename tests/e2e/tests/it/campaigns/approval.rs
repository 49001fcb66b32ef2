//! Four eyes.

use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{Lab, both_databases};

both_databases!(somebody_else_approves);

async fn somebody_else_approves(lab: Lab) -> Result<()> {
    lab.fleet("edge", 1).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let mut body = Lab::draft(firmware);
    body["requires_approval"] = json!(true);
    // Made by somebody who may do everything, but not approve what they made.
    let made = lab.admin.post("campaigns", &body).await?.is(201)?.json()?;
    let path = format!("campaigns/{}", made["campaign_id"]);
    let approve = format!("{path}/approve");
    let comment = json!({ "approval_comment": "tried on my desk" });

    lab.operator
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .problem(409, "not_approved")?;
    lab.admin
        .post(&approve, &comment)
        .await?
        .problem(403, "own_campaign")?;
    lab.operator
        .post(&approve, &comment)
        .await?
        .problem(403, "role_missing")?;
    lab.viewer
        .post(&approve, &comment)
        .await?
        .problem(403, "role_missing")?;
    let before = lab.viewer.get(&path).await?.is(200)?.json()?;
    ensure!(
        before["approved"] == false && before["status"] == "created",
        "{before}"
    );

    let approved = lab.approver.post(&approve, &comment).await?.ok()?;
    ensure!(
        approved["approved"] == true && approved["approved_by"] == "approver",
        "{approved}"
    );
    ensure!(
        approved["approval_comment"] == "tried on my desk",
        "{approved}"
    );
    lab.approver
        .post(&approve, &comment)
        .await?
        .problem(409, "not_waiting")?;
    // Who approves does not start.
    lab.approver
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .problem(403, "role_missing")?;
    let started = lab
        .operator
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .ok()?;
    ensure!(started["status"] == "in_progress", "{started}");
    Ok(())
}
