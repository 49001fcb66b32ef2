//! Runs the DDI conformance suite against a server and prints the report.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program prints to its terminal"
)]

use std::{
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use tidegate_ddi_suite::{
    Adapter, CaseOutcome, DIFFERENCES, Report, RunOptions,
    adapter::{HawkBit, Target, Tidegate},
    list, run,
};

/// Check a server against hawkBit's device API
///
/// Exits with code 0 when every case conforms, differs on purpose or is skipped, with 1 when one fails, and with 2
/// when no case could run.
#[derive(Parser)]
#[command(name = "tidegate-ddi")]
struct Arguments {
    /// The server's address
    #[arg(
        long,
        env = "TIDEGATE_DDI_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// The tenant, as the server writes it
    #[arg(long, default_value = "DEFAULT")]
    tenant: String,
    /// The kind of server
    #[arg(long, value_enum, default_value = "tidegate")]
    server: ServerKind,
    /// The gateway token. With --server hawkbit, the suite configures the server to accept it
    #[arg(
        long,
        env = "TIDEGATE_DDI_GATEWAY_TOKEN",
        hide_env_values = true,
        default_value = ""
    )]
    gateway_token: String,
    /// An administrator's API key, for Tidegate
    #[arg(
        long,
        env = "TIDEGATE_DDI_KEY",
        hide_env_values = true,
        default_value = ""
    )]
    key: String,
    /// A user of the Management API, for hawkBit
    #[arg(long, default_value = "admin")]
    user: String,
    /// The user's password
    #[arg(
        long,
        env = "TIDEGATE_DDI_PASSWORD",
        hide_env_values = true,
        default_value = "admin"
    )]
    password: String,
    /// The server trusts this host as a proxy
    #[arg(long)]
    as_proxy: bool,
    /// Run only these rows, or cases whose names contain this text (separated by commas)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// List the cases without running them
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Maximum number of cases that run concurrently
    #[arg(long, default_value_t = 8)]
    at_once: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum ServerKind {
    Tidegate,
    Hawkbit,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list {
        for (row, name) in list(&arguments.only) {
            println!("{row}\t{name}");
        }
        return ExitCode::SUCCESS;
    }
    match conformance(&arguments).await {
        Ok(report) => {
            show(&report, arguments.json);
            if report.passed() {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(1)
            }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn conformance(arguments: &Arguments) -> Result<Report> {
    // Fails if a provider is installed already, which is fine.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let target = Target {
        url: arguments.url.trim_end_matches('/').to_owned(),
        tenant: arguments.tenant.clone(),
        gateway: arguments.gateway_token.clone(),
        is_proxy: arguments.as_proxy,
    };
    let adapter: Box<dyn Adapter> = match arguments.server {
        ServerKind::Tidegate => Box::new(Tidegate::new(target, &arguments.key)?),
        ServerKind::Hawkbit => {
            Box::new(HawkBit::new(target, &arguments.user, &arguments.password)?)
        }
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "the run's name is taken from the system clock"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the system clock is before 1970")?;
    let options = RunOptions {
        run: format!("{:x}", now.as_secs()),
        only: arguments.only.clone(),
        concurrency: arguments.at_once.max(1),
    };
    run(&*adapter, &options).await
}

fn show(report: &Report, json: bool) {
    if json {
        println!("{:#}", report.json());
        return;
    }
    println!("{}\n\n{}", report.table(), report.summary());
    let differences = |number: u8| {
        report.entries.iter().any(|entry| match &entry.outcome {
            CaseOutcome::Differs(which) => which.contains(&number),
            _ => false,
        })
    };
    for (number, what) in DIFFERENCES
        .into_iter()
        .filter(|(number, _)| differences(*number))
    {
        println!("\n({number}) {what}");
    }
    for (entry, reason) in report.failures() {
        println!("\nFAILS {}: {}\n{reason}", entry.row, entry.name);
    }
}
