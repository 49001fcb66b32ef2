use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tidegate_e2e::{Alone, Lab, both_databases};

use super::{set, why};

both_databases!(the_newest_campaign_on_a_feed_wins);

fn on_beta(batch: u64) -> Value {
    json!({
        "target_filter": null,
        "target_feed": "beta",
        "strategy": { "plugin": "immediate", "config": {} },
        "max_concurrent_updates": batch,
    })
}

async fn the_newest_campaign_on_a_feed_wins(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 4).await?;
    for id in ["edge-0", "edge-1", "edge-2"] {
        set(&lab, id, json!({ "feed": "beta" })).await?;
    }
    let (two, three) = (lab.firmware("2.0.0").await?, lab.firmware("3.0.0").await?);
    let older = lab.start(two, on_beta(1)).await?;
    lab.until_counts(
        older,
        json!({ "total_devices": 3, "in_progress_devices": 1 }),
    )
    .await?;
    let newer = lab.start(three, on_beta(9)).await?;
    lab.until_counts(newer, json!({ "in_progress_devices": 3 }))
        .await?;
    lab.until_status_while(older, "completed", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(())
    })
    .await?;
    let older_now = lab.show(older).await?;
    ensure!(
        older_now["completed_devices"] == 1 && older_now["cancelled_devices"] == 2,
        "{older_now}"
    );
    lab.until_status_while(newer, "completed", async || {
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
        let (standing, reasons) = why(&lab, &device.id, older).await?;
        superseded += u32::from(standing == "passed_over" && reasons.contains("newer campaign"));
    }
    ensure!(superseded == 2, "{superseded}");
    ensure!(fleet[3].version == "1.0.0", "it is on no feed");
    let (standing, reasons) = why(&lab, "edge-3", newer).await?;
    ensure!(
        standing == "not_selected" && reasons.contains("feed beta"),
        "{reasons}"
    );

    let mut both = Lab::draft(two);
    both["target_feed"] = json!("beta");
    let refused = lab.operator.post("campaigns", &both).await?;
    ensure!(refused.status == 422, "{refused:?}");
    Ok(())
}
