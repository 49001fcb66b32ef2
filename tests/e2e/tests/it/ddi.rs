//! The DDI conformance suite against this server.

use std::{fmt::Write as _, io::Write as _};

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::StatusCode;
use serde_json::json;
use tidegate_ddi_suite::{CaseOutcome, CaseResult, Report, RunOptions, adapter};
use tidegate_e2e::{
    Database, Execution, Feedback, Finished, Fixture, IsolatedTenant, ServerOptions, TestTenant,
    both_databases, close,
};
use tidegate_engine::{
    Actor, Role,
    tenants::{self, NewApiKey},
};

both_databases!(
    the_server_conforms,
    the_server_conforms_behind_a_proxy,
    one_of_two_concurrent_closes_wins,
);

async fn the_server_conforms(tenant: TestTenant) -> Result<()> {
    let report = run_suite(&tenant, &[], false).await?;
    let is_lacking = |entry: &&CaseResult| match &entry.outcome {
        // The next test runs the cases that need a proxy.
        CaseOutcome::Skipped(reason) => !reason.contains("proxy"),
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

/// Cases in which the suite acts as a trusted proxy.
async fn the_server_conforms_behind_a_proxy(
    TenantBehindProxy(tenant): TenantBehindProxy,
) -> Result<()> {
    let only = [
        "back through a proxy",
        "a proxy's X-Forwarded-Host",
        "in a second",
    ];
    let report = run_suite(&tenant, &only, true).await?;
    let (all, skipped) = (report.entries.len(), report.count("skipped"));
    ensure!(all >= 8 && skipped == 0, "{}", report.table());
    Ok(())
}

/// A tenant whose server trusts clients on loopback as proxies.
struct TenantBehindProxy(IsolatedTenant);

impl Fixture for TenantBehindProxy {
    async fn set_up(database: Database) -> Result<Self> {
        let options = ServerOptions {
            trust_loopback: true,
            ..ServerOptions::default()
        };
        IsolatedTenant::with(database, options).await.map(Self)
    }
}

/// Runs the cases with one of these texts in their names, all if there is none. Fails if a case fails.
async fn run_suite(tenant: &TestTenant, only: &[&str], is_proxy: bool) -> Result<Report> {
    let key = NewApiKey {
        user: "suite".to_owned(),
        role: Role::Admin,
        expires_at: None,
    };
    let engine = &tenant.server.engine;
    let ctx = engine.trusted_ctx(tenant.record.id, Actor::command_line());
    let key = tenants::issue_key(&ctx, engine.store(), engine.entropy(), key).await?;
    let target = adapter::Target {
        url: tenant.server.url.clone(),
        tenant: tenant.record.name.clone(),
        gateway: tenant.gateway.clone(),
        is_proxy,
    };
    let tidegate = adapter::Tidegate::new(target, &key)?;
    let options = RunOptions {
        run: "e2e".to_owned(),
        only: only.iter().map(|&words| words.to_owned()).collect(),
        concurrency: 8,
    };
    let report = tidegate_ddi_suite::run(&tidegate, &options).await?;
    // Not `println!`: its output is captured.
    let _ = writeln!(std::io::stderr(), "{}", report.summary());
    if report.passed() {
        return Ok(report);
    }
    let mut text = String::from("cases failed:");
    for (entry, reason) in report.failures() {
        let _ = write!(text, "\n- {} {}: {reason}", entry.row, entry.name);
    }
    bail!(text)
}

/// Of two concurrent closing feedbacks one is rejected; concurrent equal feedback is stored once.
async fn one_of_two_concurrent_closes_wins(tenant: TestTenant) -> Result<()> {
    let device = tenant.create_devices("edge", 1).await?.swap_remove(0);
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let campaign = tenant
        .start_campaign(firmware, json!({ "failure_threshold_percent": 100 }))
        .await?;
    tenant
        .wait_for_counts(campaign, json!({ "in_progress_devices": 1 }))
        .await?;
    let offer =
        tidegate_e2e::wait_until("the update is offered", async || device.offer().await).await?;
    let say = async || {
        let body = Feedback {
            messages: vec!["line".to_owned()],
            ..Feedback::new(Execution::Proceeding, Finished::None)
        };
        device.feedback(&offer.id, &body).await?.expect_status(200)
    };
    tokio::try_join!(say(), say(), say(), say()).context("concurrent equal feedback")?;
    let (good, bad) = (close(Finished::Success), close(Finished::Failure));
    let ends = tokio::join!(
        device.feedback(&offer.id, &good),
        device.feedback(&offer.id, &bad)
    );
    let mut statuses = [ends.0?.status, ends.1?.status];
    statuses.sort_unstable();
    ensure!(
        statuses == [StatusCode::OK, StatusCode::GONE],
        "{statuses:?}"
    );
    let log = tenant
        .viewer
        .get("devices/edge-0/log?limit=500")
        .await?
        .expect_status(200)?
        .json()?;
    ensure!(log["count"] == 2, "{log}");
    Ok(())
}
