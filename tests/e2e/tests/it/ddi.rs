//! The device API: the conformance suite, held against this server.

use std::{fmt::Write as _, io::Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::json;
use tidegate_ddi_suite::{Entry, Options, Outcome, Report, adapter};
use tidegate_e2e::{Alone, Database, Lab, Setup, Stage, both_databases, close, feedback};
use tidegate_engine::{
    ports::Role,
    tenants::{self, NewApiKey},
};

both_databases!(
    the_standard_is_kept,
    it_is_kept_through_a_proxy,
    of_two_ends_one_is_the_first,
);

async fn the_standard_is_kept(lab: Lab) -> Result<()> {
    let report = held(&lab, &[], false).await?;
    let is_lacking = |entry: &&Entry| match &entry.outcome {
        // Those are the next test's.
        Outcome::Skipped(reason) => !reason.contains("proxy"),
        _ => false,
    };
    let skipped = report.entries.iter().filter(is_lacking).count();
    ensure!(
        skipped == 0,
        "{skipped} cases were skipped:\n{}",
        report.table()
    );
    Ok(())
}

/// What the suite says as a proxy that the server trusts.
async fn it_is_kept_through_a_proxy(Proxied(lab): Proxied) -> Result<()> {
    let only = ["back through a proxy", "a proxy names", "in a second"];
    let report = held(&lab, &only, true).await?;
    let (all, skipped) = (report.entries.len(), report.count("skipped"));
    ensure!(all >= 8 && skipped == 0, "{}", report.table());
    Ok(())
}

/// A lab whose server trusts whoever comes over loopback.
struct Proxied(Alone);

impl Stage for Proxied {
    async fn set(database: Database) -> Result<Self> {
        let setup = Setup {
            trusts_loopback: true,
            ..Setup::default()
        };
        Alone::with(database, setup).await.map(Self)
    }
}

/// What came of the cases with these words in their names, none of which failed; no words: of all.
async fn held(lab: &Lab, only: &[&str], is_proxy: bool) -> Result<Report> {
    let key = NewApiKey {
        tenant: lab.tenant.id,
        user: "suite".to_owned(),
        role: Role::Admin,
        expires_at: None,
    };
    let key = tenants::issue_key(&lab.server.engine, key).await?;
    let target = adapter::Target {
        url: lab.server.url.clone(),
        tenant: lab.tenant.name.clone(),
        gateway: lab.gateway.clone(),
        is_proxy,
    };
    let tidegate = adapter::Tidegate::new(target, &key)?;
    let options = Options {
        run: "e2e".to_owned(),
        only: only.iter().map(|&words| words.to_owned()).collect(),
        at_once: 8,
    };
    let report = tidegate_ddi_suite::run(&tidegate, &options).await?;
    // Not `println!`: that is captured, and nobody would see it.
    let _ = writeln!(std::io::stderr(), "{}", report.summary());
    if report.is_good() {
        return Ok(report);
    }
    let mut text = String::from("the standard is not kept:");
    for (entry, reason) in report.failures() {
        let _ = write!(text, "\n- {} {}: {reason}", entry.row, entry.name);
    }
    bail!(text)
}

/// Of two ends that are said at once, one comes too late; and what was said at once is kept once.
async fn of_two_ends_one_is_the_first(lab: Lab) -> Result<()> {
    let device = lab.fleet("edge", 1).await?.swap_remove(0);
    let firmware = lab.firmware("2.0.0").await?;
    let campaign = lab
        .start(firmware, json!({ "failure_threshold_percent": 100 }))
        .await?;
    lab.until_counts(campaign, json!({ "in_progress_devices": 1 }))
        .await?;
    let offer = tidegate_e2e::until("it is offered", async || device.offer().await).await?;
    let say = async || {
        let mut body = feedback("proceeding", "none");
        body["status"]["details"] = json!(["line"]);
        device.feedback(&offer.id, &body).await?.is(200)
    };
    tokio::try_join!(say(), say(), say(), say()).context("the same at once")?;
    let (good, bad) = (close("success"), close("failure"));
    let ends = tokio::join!(
        device.feedback(&offer.id, &good),
        device.feedback(&offer.id, &bad)
    );
    let mut statuses = [ends.0?.status, ends.1?.status];
    statuses.sort_unstable();
    ensure!(statuses == [200, 410], "{statuses:?}");
    let log = lab
        .viewer
        .get("devices/edge-0/log?limit=500")
        .await?
        .is(200)?
        .json()?;
    ensure!(log["count"] == 2, "{log}");
    Ok(())
}
