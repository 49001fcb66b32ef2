//! Holds a server to hawkBit's device API, and prints what it found.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line program speaks to its terminal"
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

/// Hold a server to hawkBit's device API
///
/// Ends with code 0 when every case conforms, differs on purpose or is skipped, with 1 when one fails, and with 2 when
/// nothing could be tried.
#[derive(Parser)]
#[command(name = "tidegate-ddi")]
struct Arguments {
    /// Where the server is
    #[arg(
        long,
        env = "TIDEGATE_DDI_URL",
        default_value = "http://127.0.0.1:8080"
    )]
    url: String,
    /// The tenant, as the server writes it
    #[arg(long, default_value = "DEFAULT")]
    tenant: String,
    /// What kind of server it is
    #[arg(long, value_enum, default_value = "tidegate")]
    server: ServerKind,
    /// What a gateway shows. A hawkBit is told to take this one
    #[arg(
        long,
        env = "TIDEGATE_DDI_GATEWAY_TOKEN",
        hide_env_values = true,
        default_value = ""
    )]
    gateway_token: String,
    /// An administrator's key, for Tidegate
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
    /// Satisfies user's password
    #[arg(
        long,
        env = "TIDEGATE_DDI_PASSWORD",
        hide_env_values = true,
        default_value = "admin"
    )]
    password: String,
    /// The server takes this host for a proxy that it trusts
    #[arg(long)]
    as_proxy: bool,
    /// Only these rows, or cases whose names contain this (separated by commas)
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// List the cases, and run none
    #[arg(long)]
    list: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Cases that run side by side
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
    // A second call finds the provider in place.
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
        reason = "a program is where time comes from"
    )]
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("what time is it?")?;
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
