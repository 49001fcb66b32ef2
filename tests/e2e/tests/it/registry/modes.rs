use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{IsolatedTenant, RestResponse as _, both_databases};

use super::{explain_membership, update_device};

both_databases!(
    campaigns_update_only_devices_in_mode_rollout,
    a_pin_blocks_new_updates,
    a_deleted_device_registers_as_new,
);

async fn campaigns_update_only_devices_in_mode_rollout(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    update_device(&tenant, "edge-1", json!({ "mode": "manual" })).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let campaign = tenant.get_campaign(id).await?;
    ensure!(
        campaign["total_devices"] == 3 && campaign["excluded_devices"] == 1,
        "{campaign}"
    );
    ensure!(
        !fleet[1].install().await?,
        "a manual device is offered an update"
    );
    let (standing, reasons) = explain_membership(&tenant, "edge-1", id).await?;
    ensure!(
        standing == "excluded" && reasons.contains("mode manual"),
        "{reasons}"
    );
    let explained = tenant
        .viewer
        .get("devices/edge-1/explain")
        .await?
        .expect_success()?;
    ensure!(explained["device"]["mode"] == "manual", "{explained}");
    for device in [0, 2] {
        ensure!(fleet[device].install().await?);
    }
    tenant.wait_for_status(id, "completed").await?;
    Ok(())
}

async fn a_pin_blocks_new_updates(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 3).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    update_device(&tenant, "edge-1", json!({ "pinned": true })).await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_counts(
            id,
            json!({ "in_progress_devices": 2, "cancelled_devices": 1 }),
        )
        .await?;
    let (standing, reasons) = explain_membership(&tenant, "edge-1", id).await?;
    ensure!(
        standing == "passed_over" && reasons.contains("pinned"),
        "{reasons}"
    );
    ensure!(
        !fleet[1].install().await?,
        "a pinned device is offered an update"
    );

    // A device that is pinned with an open update may finish it.
    update_device(&tenant, "edge-0", json!({ "pinned": true })).await?;
    ensure!(
        fleet[0].install().await?,
        "the open update of the pinned device is not offered"
    );
    update_device(&tenant, "edge-1", json!({ "pinned": false })).await?;
    tenant
        .wait_for_counts(
            id,
            json!({ "in_progress_devices": 2, "cancelled_devices": 0 }),
        )
        .await?;
    ensure!(explain_membership(&tenant, "edge-1", id).await?.0 == "admitted");
    for device in [1, 2] {
        ensure!(fleet[device].install().await?);
    }
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(campaign["completed_devices"] == 3, "{campaign}");
    Ok(())
}

async fn a_deleted_device_registers_as_new(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 2).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 2 }))
        .await?;
    let offer = fleet[0].offer().await?;
    ensure!(offer.is_some());
    let delete = tenant
        .operator
        .request(reqwest::Method::DELETE, "devices/edge-0");
    tidegate_e2e::HttpResponse::fetch(delete)
        .await?
        .expect_status(204)?;
    tenant
        .wait_for_counts(
            id,
            json!({ "in_progress_devices": 1, "cancelled_devices": 1 }),
        )
        .await?;
    tenant
        .viewer
        .get("devices/edge-0")
        .await?
        .expect_problem(404, "not_found")?;
    ensure!(fleet[1].install().await?);
    tenant.wait_for_status(id, "completed").await?;

    let poll = fleet[0].poll().await?;
    ensure!(poll.deployment_base().is_none(), "{poll:?}");
    let again = tenant
        .viewer
        .get("devices/edge-0")
        .await?
        .expect_success()?;
    ensure!(
        again["state"] == "registered" && again["attributes"] == json!({}),
        "{again}"
    );
    Ok(())
}
