use anyhow::{Result, ensure};
use serde_json::json;
use tidegate_e2e::{IsolatedTenant, RestResponse as _, both_databases};

both_databases!(drift_is_reported_and_not_corrected);

async fn drift_is_reported_and_not_corrected(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 1).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 1 }))
        .await?;
    ensure!(fleet[0].install().await?);
    tenant.wait_for_status(id, "completed").await?;
    let device = &fleet[0];
    // It reports its old version, repeatedly.
    for _ in 0..3 {
        device.report([("sw_version", "1.0.0")]).await?;
        let poll = device.poll().await?;
        ensure!(
            poll.deployment_base().is_none(),
            "an update is offered: {poll:?}"
        );
    }
    let shown = tenant
        .viewer
        .get("devices/edge-0")
        .await?
        .expect_success()?;
    ensure!(
        shown["drift"]["expected"] == "2.0.0" && shown["drift"]["reported"] == "1.0.0",
        "{shown}"
    );
    let found = tenant.viewer.list("devices?q=drifted==true").await?;
    ensure!(found.len() == 1, "{found:?}");
    let stats = tenant.viewer.get("stats").await?.expect_success()?;
    ensure!(stats["devices"]["drifted"] == 1, "{stats}");
    let explained = tenant
        .viewer
        .get("devices/edge-0/explain")
        .await?
        .expect_success()?;
    ensure!(explained["device"]["drifted"] == true, "{explained}");

    let changes = tenant
        .viewer
        .list("devices/edge-0/attributes/history")
        .await?;
    let versions: Vec<_> = changes
        .iter()
        .filter(|change| change["key"] == "sw_version")
        .map(|change| (&change["before"], &change["after"]))
        .collect();
    let (one, two) = (json!("1.0.0"), json!("2.0.0"));
    ensure!(
        versions == [(&two, &one), (&one, &two), (&json!(null), &one)],
        "{changes:?}"
    );

    device.report([("sw_version", "2.0.0")]).await?;
    let shown = tenant
        .viewer
        .get("devices/edge-0")
        .await?
        .expect_success()?;
    ensure!(shown["drift"].is_null(), "{shown}");
    Ok(())
}
