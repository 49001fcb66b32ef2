//! The trial calls of an upload, made again to measure them, and a call of `assign`, which uploads do not try.

use anyhow::Result;
use serde_json::Value;
use tidegate_core::Named as _;
use tidegate_sandbox::{CallName, Golden, GoldenRun, Plugin};

use super::component::LocalComponent;

/// The trial calls of a component that is accepted.
#[derive(Default)]
pub(super) struct TrialCalls {
    pub(super) calls: Vec<(CallName, GoldenRun)>,
    /// Why some calls of the plugin were not tried.
    pub(super) untried: Option<String>,
}

impl TrialCalls {
    /// Makes the calls.
    pub(super) async fn make(component: &LocalComponent, plugin: &Plugin) -> Result<Self> {
        let mut trial = Self::default();
        trial.call(plugin, CallName::Describe, "{}");
        let Some(config) = component.example_config(plugin).await? else {
            let why = "its schema gives no valid example of a config: give it `examples`";
            return Ok(trial.stopped(plugin, why));
        };
        trial.call(plugin, CallName::Validate, &config);
        let errors = plugin.validate(&config).outcome.unwrap_or_default();
        if let Some(error) = errors.first() {
            let why = format!(
                "its `validate` refuses the example of its schema: {} {}",
                error.path, error.message
            );
            return Ok(trial.stopped(plugin, &why));
        }
        for call in plugin.calls() {
            match call {
                CallName::Describe | CallName::Validate => {}
                CallName::Assign => trial.assign(plugin, &config),
                call => trial.call(plugin, call, &config),
            }
        }
        Ok(trial)
    }

    fn call(&mut self, plugin: &Plugin, call: CallName, config: &str) {
        let run = Golden::trial(plugin, call, config).run(plugin);
        self.calls.push((call, run));
    }

    /// Calls `assign` with the waves of the plugin's own plan. A server does so only if one of them is to be filled.
    fn assign(&mut self, plugin: &Plugin, config: &str) {
        if self.has_waves_to_fill() {
            return self.call(plugin, CallName::Assign, config);
        }
        let why = "`assign` was not tried, because the plan of the trial campaign has no wave with `custom` members";
        self.untried = Some(why.to_owned());
    }

    /// Whether `plan` returned a wave with members that `assign` gives it.
    fn has_waves_to_fill(&self) -> bool {
        let planned = self.calls.iter().find(|(call, _)| *call == CallName::Plan);
        let output = planned.and_then(|(_, run)| run.outcome.as_ref().ok());
        let json = output.map(|output| serde_json::from_str::<Value>(&output.json));
        let Some(Ok(plan)) = json else {
            return false;
        };
        let mut waves = plan["Ok"]["waves"].as_array().into_iter().flatten();
        waves.any(|wave| wave["members"] == "Custom")
    }

    fn stopped(mut self, plugin: &Plugin, why: &str) -> Self {
        let is_made = |call: &CallName| self.calls.iter().any(|(made, _)| made == call);
        let untried = plugin.calls().into_iter().filter(|call| !is_made(call));
        let names: Vec<_> = untried.map(|call| format!("`{}`", call.as_str())).collect();
        let names = names.join(", ");
        self.untried = Some(format!("{names} were not tried, because {why}"));
        self
    }
}
