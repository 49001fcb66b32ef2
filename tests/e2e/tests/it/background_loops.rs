//! What fails in a background loop stops nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _, Executor as _};
use tidegate_e2e::{
    Device, Execution, Feedback, Finished, HttpResponse, IsolatedTenant, RestResponse as _,
    both_databases, wait_until,
};
use tidegate_engine::campaigns;

both_databases!(
    rows_that_cannot_be_read_stop_nothing_else,
    an_update_that_cannot_be_checked_calls_no_policy_in_each_round,
    reports_on_a_damaged_row_stop_no_deadline
);

/// An approval, an overdue update and a due retry whose rows are damaged, before others of the same tenant.
async fn rows_that_cannot_be_read_stop_nothing_else(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 6).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let update = async |device: usize, options: Value| -> Result<i64> {
        let mut body = json!({ "firmware_id": firmware });
        for (name, value) in options.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        let path = format!("devices/edge-{device}/update");
        let created = tenant.operator.post(&path, &body).await?;
        let created = created.expect_status(201)?.json()?;
        created["update_id"].as_i64().context("no id")
    };
    let require_approval = async |required: bool| -> Result<()> {
        let request = tenant.admin.request(Method::PATCH, "settings");
        let request = request.json(&json!({ "requires_approval": required }));
        HttpResponse::fetch(request).await?.expect_success()?;
        Ok(())
    };
    require_approval(true).await?;
    let (bad_approval, good_approval) = (
        update(0, json!({ "force": true })).await?,
        update(1, json!({ "force": true })).await?,
    );
    require_approval(false).await?;
    let (bad_deadline, good_deadline) = (
        update(2, json!({ "timeout_minutes": 60 })).await?,
        update(3, json!({ "timeout_minutes": 60 })).await?,
    );
    for device in [4, 5] {
        let retried = json!({ "timeout_minutes": 600, "max_retries": 1, "retry_delay": 60 });
        update(device, retried).await?;
        ensure!(fleet[device].fail("BUSY").await?, "there is no update");
    }
    // Policies have to check the retry of this device.
    let changed = [("hw_revision", "1.1"), ("sw_version", "1.0.0")];
    fleet[5].report(changed).await?;

    let damaged = "(SELECT id FROM devices WHERE device_id = 'edge-4')";
    let decide = |id: i64, is_approved: &str, at: i64| {
        format!(
            "UPDATE update_approvals SET is_approved = {is_approved}, decided_by = 'approver', decided_at = {at}, \
             comment = '' WHERE id = {id}"
        )
    };
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&tenant.server.database_url()).await?;
    for statement in [
        format!("UPDATE updates SET status = 'damaged' WHERE id = {bad_deadline}"),
        format!(
            "UPDATE updates SET compatibility = 'damaged' WHERE status = 'scheduled' AND device_key = {damaged}"
        ),
        decide(bad_approval, "NULL", 1),
        decide(good_approval, "1", 2),
    ] {
        let changed = database.execute(AssertSqlSafe(statement.clone())).await?;
        ensure!(changed.rows_affected() == 1, "{statement}");
    }

    wait_for_offer(&fleet[1]).await?;
    ensure!(!is_offered(&fleet[0]).await?, "it was not approved");
    tenant.advance(Duration::from_hours(2));
    let path = format!("updates/{good_deadline}");
    wait_until("the overdue update ends", async || {
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        Ok((update["status"] == "timed_out").then_some(()))
    })
    .await?;
    wait_for_offer(&fleet[5]).await?;

    // They are retried.
    for statement in [
        format!("UPDATE updates SET status = 'offered' WHERE id = {bad_deadline}"),
        format!(
            "UPDATE updates SET compatibility = NULL WHERE status = 'scheduled' AND device_key = {damaged}"
        ),
        format!("UPDATE update_approvals SET is_approved = 1 WHERE id = {bad_approval}"),
    ] {
        let changed = database.execute(AssertSqlSafe(statement.clone())).await?;
        ensure!(changed.rows_affected() == 1, "{statement}");
    }
    database.close().await?;
    wait_for_offer(&fleet[0]).await?;
    wait_for_offer(&fleet[4]).await?;
    let path = format!("updates/{bad_deadline}");
    wait_until("the other overdue update ends", async || {
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        Ok((update["status"] == "timed_out").then_some(()))
    })
    .await
}

async fn an_update_that_cannot_be_checked_calls_no_policy_in_each_round(
    tenant: IsolatedTenant,
) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let retried = json!({
        "firmware_id": firmware, "timeout_minutes": 600, "max_retries": 1, "retry_delay": 60,
    });
    let created = tenant
        .operator
        .post("devices/edge-0/update", &retried)
        .await?;
    created.expect_status(201)?;
    ensure!(fleet[0].fail("BUSY").await?, "there is no update");
    fleet[0]
        .report([("hw_revision", "1.1"), ("sw_version", "1.0.0")])
        .await?;
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&tenant.server.database_url()).await?;
    let set_phase = |phase: &str| {
        AssertSqlSafe(format!(
            "UPDATE updates SET phase = {phase} WHERE status = 'scheduled'"
        ))
    };
    // The check itself does not read it.
    let damaged = database.execute(set_phase("'damaged'")).await?;
    ensure!(damaged.rows_affected() == 1, "{damaged:?}");

    let checks = async || -> Result<u64> {
        let metrics = tenant.viewer.get("/metrics").await?;
        let metrics = metrics.text();
        let of_hardware = |line: &&str| {
            line.starts_with("tidegate_plugin_calls_total{call=\"check\"")
                && line.contains("name=\"hardware\"")
        };
        let counts = metrics.lines().filter(of_hardware);
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        Ok(counts.sum())
    };
    let before = checks().await?;
    tenant.advance(Duration::from_mins(2));
    wait_until("the update is checked", async || {
        Ok((checks().await? > before).then_some(()))
    })
    .await?;
    wait_until("no policy is called any more", async || {
        let before = checks().await?;
        for _ in 0..5 {
            campaigns::recheck_updates(&tenant.server.engine, &|| true).await?;
        }
        Ok((checks().await? == before).then_some(()))
    })
    .await?;
    ensure!(!is_offered(&fleet[0]).await?, "it was not checked");

    // It is checked again a minute later.
    let repaired = database.execute(set_phase("NULL")).await?;
    ensure!(repaired.rows_affected() == 1, "{repaired:?}");
    database.close().await?;
    tenant.advance(Duration::from_mins(2));
    wait_for_offer(&fleet[0]).await
}

/// The device of a damaged update reports again and again, in vain. The others are silent.
async fn reports_on_a_damaged_row_stop_no_deadline(tenant: IsolatedTenant) -> Result<()> {
    // The longest time between two heartbeats is 30 s.
    const STEP: Duration = Duration::from_secs(20);

    let fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let mut updates = Vec::new();
    for device in &fleet {
        let body = json!({ "firmware_id": firmware, "timeout_minutes": 5 });
        let path = format!("devices/{}/update", device.id);
        let created = tenant.operator.post(&path, &body).await?;
        let created = created.expect_status(201)?.json()?;
        updates.push(created["update_id"].as_i64().context("no id")?);
        ensure!(is_offered(device).await?, "no update");
    }
    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&tenant.server.database_url()).await?;
    let damage = format!(
        "UPDATE updates SET status = 'damaged' WHERE id = {}",
        updates[0]
    );
    database.execute(AssertSqlSafe(damage)).await?;

    let (clock, engine) = (&tenant.server.clock, &tenant.server.engine);
    clock.become_wall_clock();
    let path = format!("updates/{}", updates[1]);
    let is_timed_out = async || -> Result<bool> {
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        Ok(update["status"] == "timed_out")
    };
    // Five minutes, after the grace of a start: twice the polling interval of five minutes.
    let mut waited = Duration::ZERO;
    while !is_timed_out().await? {
        ensure!(waited < Duration::from_mins(20), "the deadline is held up");
        for _ in 0..6 {
            tenant.advance(STEP);
            campaigns::expire_batch(engine).await?;
        }
        waited += 6 * STEP;
        let report = Feedback::new(Execution::Proceeding, Finished::None);
        let refused = fleet[0].feedback(&updates[0].to_string(), &report).await?;
        ensure!(refused.status == 500, "{refused}");
    }
    Ok(())
}

async fn is_offered(device: &Device) -> Result<bool> {
    Ok(device.poll().await?.deployment_base().is_some())
}

async fn wait_for_offer(device: &Device) -> Result<()> {
    wait_until("the device is offered its update", async || {
        Ok(is_offered(device).await?.then_some(()))
    })
    .await
}
