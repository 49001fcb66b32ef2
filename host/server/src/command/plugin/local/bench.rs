use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde_json::{Value, json};
use tidegate_core::Named as _;
use tidegate_sandbox::{CallName, Golden, Plugin, golden_files};

use super::{
    component::{ComponentArgs, LocalComponent},
    usage,
};
use crate::{
    client::table,
    command::{enum_value, show_value},
};

/// The folder of goldens if none is named.
const DEFAULT_FOLDER: &str = "golden";

#[derive(Debug, Args)]
pub(in crate::command::plugin) struct Bench {
    #[command(flatten)]
    component: ComponentArgs,
    /// Call to measure [default: every call that has an input]
    #[arg(value_parser = enum_value::<CallName>())]
    call: Option<CallName>,
    /// Folder of goldens with the inputs [default: golden, if it has some]
    #[arg(long, value_name = "DIR")]
    goldens: Option<PathBuf>,
    /// How often each call is made
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    runs: u32,
}

impl Bench {
    pub(super) async fn run(self) -> Result<()> {
        let component = self.component.open()?;
        let plugin = component.load().await?;
        let mut measured = Vec::new();
        for (name, golden) in self.inputs(&component, &plugin).await? {
            measured.push(measure(&name, &golden, &plugin, self.runs)?);
        }
        let result = json!({"runs": self.runs, "calls": measured});
        show_value(self.component.output.json, &result, text);
        Ok(())
    }

    /// The goldens to run, with their names.
    async fn inputs(
        &self,
        component: &LocalComponent,
        plugin: &Plugin,
    ) -> Result<Vec<(String, Golden)>> {
        let goldens = match &self.goldens {
            Some(folder) => self.read_goldens(folder)?,
            None if Path::new(DEFAULT_FOLDER).is_dir() => {
                self.read_goldens(Path::new(DEFAULT_FOLDER))?
            }
            None => Vec::new(),
        };
        if !goldens.is_empty() {
            return Ok(goldens);
        }
        if let Some(folder) = &self.goldens {
            bail!("there is no golden of these calls in {}", folder.display());
        }
        let calls = self.call.map_or_else(|| plugin.calls(), |call| vec![call]);
        let mut goldens = Vec::new();
        for call in calls {
            goldens.push(("trial".to_owned(), component.trial(plugin, call).await?));
        }
        Ok(goldens)
    }

    fn read_goldens(&self, folder: &Path) -> Result<Vec<(String, Golden)>> {
        let files = golden_files(folder).with_context(|| format!("read {}", folder.display()))?;
        let mut goldens = Vec::new();
        for file in files {
            let name = file.display();
            let text = std::fs::read_to_string(&file).with_context(|| format!("read {name}"))?;
            let golden = Golden::parse(&text).with_context(|| name.to_string())?;
            if self.call.is_none_or(|call| call == golden.call()) {
                let name = file.file_stem().unwrap_or_default();
                goldens.push((name.to_string_lossy().into_owned(), golden));
            }
        }
        Ok(goldens)
    }
}

/// Runs a golden this number of times, after a first run that is not measured.
fn measure(name: &str, golden: &Golden, plugin: &Plugin, runs: u32) -> Result<Value> {
    let call = golden.call().as_str();
    let run = || {
        let run = golden.run(plugin);
        match &run.outcome {
            Ok(_) => Ok(run),
            Err(failure) => Err(anyhow!("{call} ({name}): {failure}")),
        }
    };
    let mut last = run()?;
    let mut times = Vec::new();
    for _ in 0..runs {
        last = run()?;
        times.push(usage::micros(last.duration));
    }
    times.sort_unstable();
    let mut measured = usage::of_call(&last);
    for (name, value) in [
        ("name", json!(name)),
        ("call", json!(call)),
        ("min_us", json!(times.first())),
        ("median_us", json!(times[times.len() / 2])),
        ("max_us", json!(times.last())),
    ] {
        measured[name] = value;
    }
    // That of the last run, which says less than those above.
    if let Some(members) = measured.as_object_mut() {
        members.remove("duration_us");
    }
    Ok(measured)
}

fn text(result: &Value) -> String {
    let calls = result["calls"].as_array().map_or(&[][..], Vec::as_slice);
    let rows: Vec<_> = calls
        .iter()
        .map(|call| {
            let number = |name: &str| call[name].as_u64().unwrap_or_default();
            let time = |name: &str| usage::time(number(name));
            json!({
                "name": call["name"],
                "call": call["call"],
                "min": time("min_us"),
                "median": time("median_us"),
                "max": time("max_us"),
                "deadline": time("deadline_us"),
                "fuel": usage::count_of(number("fuel"), number("fuel_limit")),
                "memory": usage::bytes_of(number("peak_memory"), number("memory_limit")),
            })
        })
        .collect();
    table::list(
        &rows,
        &[
            ("CALL", "/call"),
            ("INPUT", "/name"),
            ("MIN", "/min"),
            ("MEDIAN", "/median"),
            ("MAX", "/max"),
            ("LIMIT", "/deadline"),
            ("FUEL", "/fuel"),
            ("MEMORY", "/memory"),
        ],
    )
}
