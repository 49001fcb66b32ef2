use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::{Named as _, visible_text::visible};
use tidegate_sandbox::{CallName, Golden, GoldenRun};

use super::{component::ComponentArgs, usage};
use crate::command::{enum_value, print_error, print_json_text};

// clap would show the group before the file.
#[derive(Debug, Args)]
#[command(
    override_usage = "tidegate plugin run [OPTIONS] <FILE> <CALL>\n       \
                      tidegate plugin run [OPTIONS] <FILE> [CALL] --input <GOLDEN>\n       \
                      tidegate plugin run [OPTIONS] <FILE> --sample <CALL>"
)]
pub(in crate::command::plugin) struct Run {
    #[command(flatten)]
    component: ComponentArgs,
    #[command(flatten)]
    subject: Subject,
}

/// What to run, or to print.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Subject {
    /// Call to make; with --input that of the golden is the default
    #[arg(value_parser = enum_value::<CallName>())]
    call: Option<CallName>,
    /// Golden with the input, JSON; `-` reads it from standard input
    #[arg(long, value_name = "GOLDEN")]
    input: Option<PathBuf>,
    /// Print a golden of this call, to begin with, instead of making a call
    #[arg(
        long,
        value_name = "CALL",
        value_parser = enum_value::<CallName>(),
        conflicts_with_all = ["call", "input"]
    )]
    sample: Option<CallName>,
}

impl Run {
    pub(super) async fn run(self) -> Result<()> {
        let component = self.component.open()?;
        let plugin = component.load().await?;
        let Subject {
            call,
            input,
            sample,
        } = self.subject;
        if let Some(call) = sample {
            print_json_text(&component.trial(&plugin, call).await?.to_json());
            return Ok(());
        }
        let golden = match (input, call) {
            (Some(input), call) => read_input(&input, call)?,
            (None, Some(call)) => component.trial(&plugin, call).await?,
            (None, None) => bail!("name a call, or a golden with --input"),
        };
        let run = golden.run(&plugin);
        if self.component.output.json {
            print_json_text(&format!("{:#}", result(&golden, &run)?));
        } else {
            if let Ok(output) = &run.outcome {
                print_json_text(&output.json);
                if let Some(violation) = &output.violation {
                    let violation = visible(violation);
                    print_error(format!(
                        "note: a server would refuse this answer: {violation}"
                    ));
                }
            }
            print_error(cost(&run));
        }
        run.outcome.map(drop).map_err(|failure| anyhow!(failure))
    }
}

/// Reads the golden of a call.
fn read_input(input: &Path, call: Option<CallName>) -> Result<Golden> {
    let name = input.display();
    let text = if input.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(input)
    };
    let text = text.with_context(|| format!("read {name}"))?;
    let golden = Golden::parse(&text).with_context(|| name.to_string())?;
    match call {
        Some(call) if call != golden.call() => bail!(
            "{name} is a golden of `{}`, not of `{}`",
            golden.call().as_str(),
            call.as_str()
        ),
        _ => Ok(golden),
    }
}

fn result(golden: &Golden, run: &GoldenRun) -> Result<Value> {
    let mut result = usage::of_call(run);
    result["call"] = golden.call().as_str().into();
    result["log"] = json!(run.log);
    match &run.outcome {
        Ok(output) => {
            result["output"] = serde_json::from_str(&output.json)?;
            if let Some(violation) = &output.violation {
                result["violation"] = violation.as_str().into();
            }
        }
        Err(failure) => {
            result["failure"] = json!({"kind": failure.as_str(), "message": failure.to_string()});
        }
    }
    Ok(result)
}

/// The log, and what the call used, for stderr.
fn cost(run: &GoldenRun) -> String {
    let mut lines: Vec<_> = run
        .log
        .iter()
        .map(|line| format!("log: {}", visible(line)))
        .collect();
    lines.extend([
        format!("fuel: {}", usage::count_of(run.fuel, run.fuel_limit)),
        format!(
            "memory: {}",
            usage::bytes_of(run.peak_memory, run.memory_limit)
        ),
        format!(
            "time: {} of {}",
            usage::time(usage::micros(run.duration)),
            usage::time(usage::micros(run.deadline))
        ),
    ]);
    lines.join("\n")
}
