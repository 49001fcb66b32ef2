use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::Named as _;
use tidegate_engine::ports::Inspection;
use tidegate_sandbox::{ComponentInterface, SandboxLimits};

use super::{
    check::verdict,
    component::{ComponentArgs, LocalComponent},
    trial_calls::TrialCalls,
    usage,
};
use crate::{
    client::table,
    command::{print_json_text, show_value},
};

#[derive(Debug, Args)]
pub(in crate::command::plugin) struct Inspect {
    #[command(flatten)]
    component: ComponentArgs,
    /// Print only the JSON Schema of the config
    #[arg(long, conflicts_with = "json")]
    schema: bool,
}

impl Inspect {
    pub(super) async fn run(self) -> Result<()> {
        let component = self.component.open()?;
        let verdict = verdict(&component).await?;
        if self.schema {
            match verdict {
                Ok(inspection) => print_json_text(&inspection.description.config_schema),
                Err(reason) => bail!(reason),
            }
            return Ok(());
        }
        let mut shown = facts(&component);
        match &verdict {
            Ok(inspection) => add_plugin(&mut shown, &component, inspection).await?,
            Err(reason) => shown["rejected"] = reason.as_str().into(),
        }
        show_value(self.component.output.json, &shown, text);
        verdict.map(drop).map_err(anyhow::Error::msg)
    }
}

/// What can be read without running the component.
fn facts(component: &LocalComponent) -> Value {
    let mut facts = json!({
        "revision": component.digest.to_string(),
        "size": component.bytes.len(),
        "size_limit": component.limits.component_bytes,
    });
    if let Ok(interface) = ComponentInterface::read(&component.bytes) {
        facts["imports"] = json!(interface.imports);
        facts["exports"] = json!(interface.exports);
        facts["initial_memory"] = interface.initial_memory.into();
    }
    facts
}

async fn add_plugin(
    shown: &mut Value,
    component: &LocalComponent,
    inspection: &Inspection,
) -> Result<()> {
    let description = &inspection.description;
    let plugin = component.load().await?;
    let trial = TrialCalls::make(component, &plugin).await?;
    let calls = trial.calls.iter().map(|(call, run)| {
        let mut usage = usage::of_call(run);
        usage["call"] = call.as_str().into();
        usage
    });
    for (name, value) in [
        ("plugin", json!(description.name.to_string())),
        ("version", json!(description.version)),
        ("kind", json!(inspection.kind.as_str())),
        ("contract", json!(inspection.contract)),
        ("summary", json!(description.summary)),
        ("state_schema", json!(description.state_schema)),
        ("schema_size", json!(description.config_schema.len())),
        ("schema_size_limit", json!(SandboxLimits::SCHEMA_BYTES)),
        (
            "config_schema",
            serde_json::from_str(&description.config_schema)?,
        ),
        ("calls", calls.collect()),
    ] {
        shown[name] = value;
    }
    Ok(())
}

const ROWS: [table::Column<'_>; 13] = [
    ("plugin", "/plugin"),
    ("version", "/version"),
    ("kind", "/kind"),
    ("summary", "/summary"),
    ("contract", "/contract"),
    ("revision", "/revision"),
    ("size", "/size_text"),
    ("imports", "/imports"),
    ("exports", "/exports"),
    ("state schema", "/state_schema"),
    ("initial memory", "/initial_memory_text"),
    ("config schema", "/schema_size_text"),
    ("rejected", "/rejected"),
];

fn text(shown: &Value) -> String {
    let mut rows = shown.clone();
    let number = |name: &str| shown[name].as_u64();
    if let (Some(size), Some(limit)) = (number("size"), number("size_limit")) {
        rows["size_text"] = usage::bytes_of(size, limit).into();
    }
    if let (Some(size), Some(limit)) = (number("schema_size"), number("schema_size_limit")) {
        rows["schema_size_text"] = usage::bytes_of(size, limit).into();
    }
    if let Some(memory) = number("initial_memory") {
        rows["initial_memory_text"] = usage::bytes(memory).into();
    }
    let mut parts = vec![table::details(&rows, &ROWS)];
    if let Some(calls) = shown["calls"].as_array() {
        parts.push(usage_table(calls));
    }
    if let Some(schema) = shown.get("config_schema") {
        parts.push(format!("{schema:#}"));
    }
    parts.join("\n\n")
}

/// What trial calls used of their limits.
fn usage_table(calls: &[Value]) -> String {
    let rows: Vec<_> = calls
        .iter()
        .map(|call| {
            let number = |name: &str| call[name].as_u64().unwrap_or_default();
            json!({
                "call": call["call"],
                "fuel": usage::count_of(number("fuel"), number("fuel_limit")),
                "memory": usage::bytes_of(number("peak_memory"), number("memory_limit")),
            })
        })
        .collect();
    let columns = [
        ("TRIAL CALL", "/call"),
        ("FUEL", "/fuel"),
        ("MEMORY", "/memory"),
    ];
    table::list(&rows, &columns)
}
