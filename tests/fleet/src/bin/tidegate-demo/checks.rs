//! The expected results, checked in the devices' records and in the server's data.

use std::{collections::HashSet, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tidegate_fleet::{Fleet, Operator};
use tokio::time::{sleep, timeout};

use crate::{BAD, GOOD};

/// Maximum time for devices to restart and report.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The good campaign completed, and every device runs its version.
pub(crate) async fn completed(operator: &Operator, fleet: &Fleet, campaign: Value) -> Result<()> {
    ensure!(
        campaign["status"] == "completed",
        "the first campaign ended as {}",
        campaign["status"]
    );
    wait_until_settled(operator, fleet).await
}

/// The policy rolled the bad campaign back, every device runs the good version again, and only devices of released
/// waves were offered the bad one.
pub(crate) async fn rolled_back(
    operator: &Operator,
    fleet: &Fleet,
    campaign: Value,
) -> Result<String> {
    let id = &campaign["campaign_id"];
    ensure!(
        campaign["status"] == "rolled_back",
        "the second campaign ended as {}",
        campaign["status"]
    );
    rolled_back_by_policy(operator, id).await?;
    wait_until_settled(operator, fleet).await?;

    let waves = campaign["waves"]
        .as_array()
        .context("the campaign has no waves")?;
    let released: HashSet<u64> = waves
        .iter()
        .filter(|wave| wave["released"].as_u64() > Some(0))
        .filter_map(|wave| wave["index"].as_u64())
        .collect();
    ensure!(
        released.len() < waves.len(),
        "every wave was released, so nothing was stopped"
    );
    let updates = operator
        .list_all(&format!("campaigns/{id}/updates"))
        .await
        .context("read the updates")?;
    let mut members = HashSet::new();
    for update in updates.iter().filter(|update| update["to_version"] == BAD) {
        let device = update["device_id"]
            .as_str()
            .context("an update has no device")?;
        let wave = update["wave"].as_u64();
        ensure!(
            wave.is_some_and(|wave| released.contains(&wave)),
            "{device} was offered an update in wave {wave:?}, which was not released"
        );
        members.insert(device.to_owned());
    }
    let records = fleet.records();
    let saw: Vec<_> = records
        .iter()
        .filter(|record| record.offered.contains(BAD))
        .collect();
    for record in &saw {
        ensure!(
            members.contains(&record.device_id),
            "{} was offered {BAD} outside the released waves",
            record.device_id
        );
    }
    let failed: u32 = records.iter().map(|record| record.failed).sum();
    Ok(format!(
        "as expected: {} of {} devices were offered {BAD}, all in released waves ({} of {}); {failed} failed; \
         the policy rolled it back; every device is on {GOOD}",
        saw.len(),
        records.len(),
        released.len(),
        waves.len(),
    ))
}

/// The policy requested the rollback, not the strategy or the server's failure ceiling.
async fn rolled_back_by_policy(operator: &Operator, id: &Value) -> Result<()> {
    let journal = operator
        .list_all(&format!("campaigns/{id}/journal"))
        .await
        .context("read the journal")?;
    let requested = journal.iter().any(|entry| {
        entry["plugin"] == "tidegate/failure-rate"
            && entry["kind"] == "evaluate"
            && entry["outcome"] == "roll_back"
    });
    ensure!(
        requested,
        "the failure-rate policy did not request the rollback"
    );
    Ok(())
}

/// Waits until every device runs the good version, according to the devices and to the server.
async fn wait_until_settled(operator: &Operator, fleet: &Fleet) -> Result<()> {
    let total = fleet.records().len();
    let devices = fleet.wait_until(|records| records.iter().all(|record| record.version == GOOD));
    if timeout(SETTLE_TIMEOUT, devices).await.is_err() {
        bail!("not every device runs {GOOD}: {:?}", fleet.versions());
    }
    let server = async {
        loop {
            let known = operator
                .list_all(&format!("devices?q=sw_version=={GOOD}"))
                .await
                .context("list devices")?;
            if known.len() == total {
                return Ok(());
            }
            sleep(Duration::from_millis(300)).await;
        }
    };
    timeout(SETTLE_TIMEOUT, server)
        .await
        .context("not every device is up to date according to the server")?
}
