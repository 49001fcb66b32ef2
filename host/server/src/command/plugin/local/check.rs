use anyhow::{Result, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::Named as _;
use tidegate_engine::ports::{Inspection, Rejection};
use tidegate_sandbox::{CallName, ComponentInterface, GoldenRun, SandboxLimits};

use super::{
    component::{ComponentArgs, LocalComponent},
    trial_calls::TrialCalls,
    usage,
};
use crate::{app::Environment, command::show_value};

/// Share of a limit, in percent, from which a note names it.
const NOTED_PERCENT: f64 = 50.0;

#[derive(Debug, Args)]
pub(in crate::command::plugin) struct Check {
    #[command(flatten)]
    component: ComponentArgs,
}

impl Check {
    pub(super) async fn run(self) -> Result<()> {
        let component = self.component.open()?;
        let as_json = self.component.output.json;
        let inspection = match verdict(&component).await? {
            Ok(inspection) => inspection,
            Err(reason) => {
                if as_json {
                    let revision = component.digest.to_string();
                    let rejected =
                        json!({"accepted": false, "revision": revision, "reason": reason});
                    show_value(true, &rejected, |_| String::new());
                }
                bail!(reason);
            }
        };
        let notes = notes(&component, &inspection).await?;
        let description = &inspection.description;
        let accepted = json!({
            "accepted": true,
            "plugin": description.name.to_string(),
            "version": description.version,
            "kind": inspection.kind.as_str(),
            "contract": inspection.contract,
            "revision": inspection.digest.to_string(),
            "notes": notes,
        });
        show_value(as_json, &accepted, lines);
        Ok(())
    }
}

/// What a server says at an upload: the inspection of the component, or why it is rejected.
pub(super) async fn verdict(component: &LocalComponent) -> Result<Result<Inspection, String>> {
    let inspection = match component.inspect().await {
        Ok(inspection) => inspection,
        Err(Rejection::Invalid(reason)) => return Ok(Err(reason)),
        Err(error) => bail!("the component cannot be inspected now: {error}"),
    };
    let built_ins = Environment::default().built_ins;
    let named = built_ins.check_name(&inspection.description.name, inspection.digest);
    Ok(named
        .map(|()| inspection)
        .map_err(|error| error.to_string()))
}

fn lines(accepted: &Value) -> String {
    let text = |name: &str| accepted[name].as_str().unwrap_or_default();
    let mut lines = vec![format!(
        "{} {} is accepted: {}, contract {}, {}",
        text("plugin"),
        text("version"),
        text("kind"),
        text("contract"),
        text("revision")
    )];
    let notes = accepted["notes"].as_array().into_iter().flatten();
    lines.extend(notes.filter_map(|note| Some(format!("note: {}", note.as_str()?))));
    lines.join("\n")
}

/// What is no reason to reject the component, but worth knowing.
async fn notes(component: &LocalComponent, inspection: &Inspection) -> Result<Vec<String>> {
    let mut notes = Vec::new();
    let size = component.bytes.len() as u64;
    let limit = component.limits.component_bytes;
    if usage::percent(size, limit) >= NOTED_PERCENT {
        notes.push(format!("it has {}", usage::bytes_of(size, limit)));
    }
    let schema = inspection.description.config_schema.len() as u64;
    let limit = SandboxLimits::SCHEMA_BYTES;
    if usage::percent(schema, limit) >= NOTED_PERCENT {
        notes.push(format!("its schema has {}", usage::bytes_of(schema, limit)));
    }
    let plugin = component.load().await?;
    let trial = TrialCalls::make(component, &plugin).await?;
    notes.extend(trial.untried);
    let initial_memory =
        ComponentInterface::read(&component.bytes).map_or(u64::MAX, |it| it.initial_memory);
    for (call, run) in &trial.calls {
        notes.extend(notes_on(*call, run, initial_memory));
    }
    Ok(notes)
}

fn notes_on(call: CallName, run: &GoldenRun, initial_memory: u64) -> Vec<String> {
    let is_of_upload = call != CallName::Assign;
    let call = call.as_str();
    let mut notes = Vec::new();
    match &run.outcome {
        Ok(output) => {
            if let Some(violation) = &output.violation {
                notes.push(format!(
                    "`{call}` gave an answer for the trial campaign that a server would refuse, and an upload allows: {violation}"
                ));
            }
            let output: Value = serde_json::from_str(&output.json).unwrap_or_default();
            if let Some(error) = output.get("Err").and_then(Value::as_str) {
                notes.push(format!(
                    "`{call}` returned an error for the trial campaign, which an upload allows: {error}"
                ));
            }
        }
        Err(failure) if !is_of_upload => notes.push(format!(
            "`{call}`, which an upload does not try, failed for the trial campaign: {failure}"
        )),
        // Accepted a moment ago: the machine may be busy.
        Err(failure) => notes.push(format!("`{call}` failed when it was repeated: {failure}")),
    }
    if usage::percent(run.fuel, run.fuel_limit) >= NOTED_PERCENT {
        let used = usage::count_of(run.fuel, run.fuel_limit);
        notes.push(format!("`{call}` used {used} units of fuel"));
    }
    if usage::percent(run.peak_memory, run.memory_limit) >= NOTED_PERCENT {
        let used = usage::bytes_of(run.peak_memory, run.memory_limit);
        notes.push(format!("`{call}` used {used} of memory"));
    }
    if run.peak_memory > initial_memory {
        notes.push(format!(
            "`{call}` grew its memory from {} to {}, which makes calls that run at the same time wait for each other: \
             start with more, in Rust with `-C link-arg=--initial-heap=262144`",
            usage::bytes(initial_memory),
            usage::bytes(run.peak_memory)
        ));
    }
    notes
}
