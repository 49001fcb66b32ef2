use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{IsolatedTenant, TestTenant, both_databases};

use super::{explain_membership, update_device};

both_databases!(the_newest_campaign_on_a_feed_wins);

fn on_beta(batch: u64) -> Value {
    json!({
        "target_filter": null,
        "target_feed": "beta",
        "strategy": { "plugin": "immediate", "config": {} },
        "max_concurrent_updates": batch,
    })
}

async fn the_newest_campaign_on_a_feed_wins(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 4).await?;
    for id in ["edge-0", "edge-1", "edge-2"] {
        update_device(&tenant, id, json!({ "feed": "beta" })).await?;
    }
    let (two, three) = (
        tenant.upload_firmware("2.0.0").await?,
        tenant.upload_firmware("3.0.0").await?,
    );
    let older = tenant.start_campaign(two, on_beta(1)).await?;
    tenant
        .wait_for_counts(
            older,
            json!({ "total_devices": 3, "in_progress_devices": 1 }),
        )
        .await?;
    let newer = tenant.start_campaign(three, on_beta(9)).await?;
    tenant
        .wait_for_counts(newer, json!({ "in_progress_devices": 3 }))
        .await?;
    tenant
        .wait_for_status_while(older, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    let older_now = tenant.get_campaign(older).await?;
    ensure!(
        older_now["completed_devices"] == 1 && older_now["cancelled_devices"] == 2,
        "{older_now}"
    );
    tenant
        .wait_for_status_while(newer, "completed", async || {
            for device in &mut fleet {
                device.install().await?;
            }
            Ok(())
        })
        .await?;
    let mut superseded = 0;
    for device in &fleet[..3] {
        ensure!(
            device.version == "3.0.0",
            "{} is on {}",
            device.id,
            device.version
        );
        let (standing, reasons) = explain_membership(&tenant, &device.id, older).await?;
        superseded += u32::from(standing == "passed_over" && reasons.contains("newer campaign"));
    }
    ensure!(superseded == 2, "{superseded}");
    ensure!(
        fleet[3].version == "1.0.0",
        "a device without a feed was updated"
    );
    let (standing, reasons) = explain_membership(&tenant, "edge-3", newer).await?;
    ensure!(
        standing == "not_selected" && reasons.contains("feed beta"),
        "{reasons}"
    );

    let mut both = TestTenant::campaign_body(two);
    both["target_feed"] = json!("beta");
    let refused = tenant.operator.post("campaigns", &both).await?;
    ensure!(refused.status == 422, "{refused:?}");
    Ok(())
}
