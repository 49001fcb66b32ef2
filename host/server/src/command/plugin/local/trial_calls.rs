//! The trial calls of an upload, made again to measure them.

use anyhow::Result;
use tidegate_core::Named as _;
use tidegate_sandbox::{CallName, Golden, GoldenRun, Plugin};

use super::component::LocalComponent;

/// The trial calls of a component that is accepted.
pub(super) struct TrialCalls {
    pub(super) calls: Vec<(CallName, GoldenRun)>,
    /// Why some calls of the plugin were not tried.
    pub(super) untried: Option<String>,
}

impl TrialCalls {
    /// Makes the calls that an upload makes.
    pub(super) async fn make(component: &LocalComponent, plugin: &Plugin) -> Result<Self> {
        let mut calls = Vec::new();
        let mut make = |call, config: &str| {
            let run = Golden::trial(plugin, call, config).run(plugin);
            calls.push((call, run));
        };
        make(CallName::Describe, "{}");
        let Some(config) = component.example_config(plugin).await? else {
            let why = "its schema gives no valid example of a config: give it `examples`";
            return Ok(Self::untried(calls, plugin, why));
        };
        make(CallName::Validate, &config);
        let errors = plugin.validate(&config).outcome.unwrap_or_default();
        if let Some(error) = errors.first() {
            let why = format!(
                "its `validate` refuses the example of its schema: {} {}",
                error.path, error.message
            );
            return Ok(Self::untried(calls, plugin, &why));
        }
        for call in plugin.calls() {
            let is_made = matches!(
                call,
                CallName::Describe | CallName::Validate | CallName::Assign
            );
            if !is_made {
                make(call, &config);
            }
        }
        let untried = None;
        Ok(Self { calls, untried })
    }

    fn untried(calls: Vec<(CallName, GoldenRun)>, plugin: &Plugin, why: &str) -> Self {
        let of_world = plugin.calls().into_iter().filter(|call| {
            let is_made = calls.iter().any(|(made, _)| made == call);
            !is_made && *call != CallName::Assign
        });
        let names: Vec<_> = of_world
            .map(|call| format!("`{}`", call.as_str()))
            .collect();
        let untried = Some(format!(
            "{} were not tried, because {why}",
            names.join(", ")
        ));
        Self { calls, untried }
    }
}
