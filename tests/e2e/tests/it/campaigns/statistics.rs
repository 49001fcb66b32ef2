//! Statistics and metrics.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{IsolatedTenant, both_databases};

both_databases!(statistics_and_metrics_agree);

async fn statistics_and_metrics_agree(tenant: IsolatedTenant) -> Result<()> {
    let mut fleet = tenant.create_devices("edge", 5).await?;
    tenant.device("idle-0").poll().await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let changes = json!({ "failure_threshold_percent": 100, "timeout_minutes": 5 });
    let id = tenant.start_campaign(firmware, changes).await?;
    tenant
        .wait_for_counts(id, json!({ "in_progress_devices": 5 }))
        .await?;
    fleet[0].install().await?;
    fleet[1].install().await?;
    fleet[2].install().await?;
    fleet[3].fail("INSUFFICIENT_SPACE").await?;

    let stats = stats(&tenant).await?;
    ensure!(stats["updates"]["by_status"]["offered"] == 1, "{stats}");
    tenant.advance(std::time::Duration::from_mins(6));
    tenant.wait_for_status(id, "completed").await?;

    let stats = self::stats(&tenant).await?;
    let updates =
        json!({ "total": 5, "by_status": { "completed": 3, "failed": 1, "timed_out": 1 } });
    ensure!(
        without_zeros(&stats["updates"]["by_status"]) == updates["by_status"],
        "{stats}"
    );
    ensure!(stats["updates"]["total"] == 5, "{stats}");
    ensure!(stats["devices"]["total"] == 6, "{stats}");
    ensure!(stats["devices"]["by_version"]["2.0.0"] == 3, "{stats}");
    ensure!(stats["devices"]["by_version"]["1.0.0"] == 2, "{stats}");
    ensure!(stats["devices"]["by_model"]["edge"] == 5, "{stats}");
    let by_state = json!({ "registered": 1, "in_sync": 3, "error": 2 });
    ensure!(
        without_zeros(&stats["devices"]["by_state"]) == by_state,
        "{stats}"
    );
    ensure!(
        stats["last_24h"] == json!({ "completed": 3, "failed": 2, "success_rate": 60.0 }),
        "{stats}"
    );
    ensure!(
        without_zeros(&stats["campaigns"]["by_status"]) == json!({ "completed": 1 }),
        "{stats}"
    );

    let one = tenant
        .viewer
        .get(&format!("stats/campaigns/{id}"))
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(
        one["counts"]["completed"] == 3 && one["counts"]["timed_out"] == 1,
        "{one}"
    );
    ensure!(
        one["failures_by_code"] == json!({ "INSUFFICIENT_SPACE": 1, "TIMEOUT": 1 }),
        "{one}"
    );
    ensure!(
        one["success_rate"] == 60.0 && one["progress_percentage"] == 100.0,
        "{one}"
    );

    // No other tenant uses this server, so the sums are those of this tenant.
    let metrics = tenant.viewer.get("/metrics").await?.expect_status(200)?;
    ensure!(
        metrics.header("content-type").starts_with("text/plain"),
        "{metrics}"
    );
    let text = metrics.text();
    let value = |line: &str| -> Result<f64> {
        let found = text
            .lines()
            .find_map(|other| other.strip_prefix(line)?.strip_prefix(' '));
        Ok(found
            .with_context(|| format!("no {line} in {text}"))?
            .parse()?)
    };
    for (line, expected) in [
        ("ota_updated_pods_total", 3.0),
        ("ota_jobs_successful", 3.0),
        ("ota_jobs_pending", 0.0),
        ("ota_jobs_total", 5.0),
        ("tidegate_campaigns{status=\"completed\"}", 1.0),
        ("tidegate_devices{state=\"in_sync\"}", 3.0),
        ("tidegate_updates{status=\"timed_out\"}", 1.0),
    ] {
        ensure!(
            (value(line)? - expected).abs() < 0.1,
            "{line} is not {expected}"
        );
    }
    ensure!(
        value("ota_last_run_timestamp_seconds")? > 1_767_225_600.0,
        "no last run"
    );
    for part in [
        "tidegate_plugin_calls_total{call=\"decide\",name=\"immediate\",outcome=\"ok\",vendor=\"tidegate\"}",
        "tidegate_plugin_fuel_total{call=\"decide\",name=\"immediate\",vendor=\"tidegate\"}",
        "tidegate_plugin_call_seconds_bucket",
    ] {
        ensure!(text.contains(part), "no {part} in {text}");
    }
    let polls = text.lines().find(|line| {
        line.starts_with("tidegate_http_requests_total{")
            && line.contains("route=\"/{tenant}/controller/v1/{device}\"")
            && line.contains("status=\"200\"")
    });
    ensure!(polls.is_some(), "polls are not counted: {text}");
    ensure!(
        !text.contains(&tenant.record.name) && !text.contains("edge-0"),
        "metrics contain a tenant or a device"
    );
    Ok(())
}

async fn stats(tenant: &IsolatedTenant) -> Result<serde_json::Value> {
    Ok(tenant
        .viewer
        .get("stats")
        .await?
        .expect_status(200)?
        .json()?)
}

fn without_zeros(counts: &serde_json::Value) -> serde_json::Value {
    let fields = counts.as_object().into_iter().flatten();
    fields
        .filter(|(_, count)| **count != 0)
        .map(|(name, count)| (name.clone(), count.clone()))
        .collect()
}
