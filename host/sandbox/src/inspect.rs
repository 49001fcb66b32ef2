//! Checks of an uploaded plugin before it is installed.

use tidegate_core::plugin::{Description, PluginKind};
use tidegate_engine::ports::{CallFailure, Rejection};

use crate::{limits::MAX_REASON_BYTES, plugin::Plugin, trial::Trial};

/// Maximum size of a version.
const MAX_VERSION_BYTES: usize = 128;

/// Links the plugin and reads its description.
pub(crate) fn describe(plugin: &Plugin) -> Result<Description, Rejection> {
    plugin
        .check_types()
        .map_err(|failure| rejected_step("instantiating it", &failure))?;
    let description = plugin
        .describe()
        .map_err(|failure| rejected_step("calling its `describe`", &failure))?;
    check_description(&description)
        .map_err(|reason| Rejection::Invalid(format!("its description: {reason}")))?;
    Ok(description)
}

/// Calls the plugin once or twice on a trial campaign, with an example of its config.
pub(crate) fn try_calls(plugin: &Plugin, example: Option<&str>) -> Result<(), Rejection> {
    let config = example.unwrap_or("{}");
    match plugin.validate(config).outcome {
        // Without an example, `{}` is invalid by the plugin's own schema, so `validate` may fail.
        Err(_) if example.is_none() => return Ok(()),
        Err(failure) => return Err(rejected_step("calling its `validate`", &failure)),
        Ok(errors) if !errors.is_empty() => return Ok(()),
        Ok(_) => {}
    }
    plugin
        .wants(config)
        .outcome
        .map_err(|failure| rejected_step("calling its `wants`", &failure))?;
    if example.is_some() {
        run_trial_calls(plugin, config)
            .map_err(|(call, failure)| rejected_step(&format!("calling its `{call}`"), &failure))?;
    }
    Ok(())
}

/// Converts the failure of a step into the rejection of the upload.
pub(crate) fn rejected_step(step: &str, failure: &CallFailure) -> Rejection {
    match to_rejection(failure) {
        Rejection::Invalid(reason) => Rejection::Invalid(format!("{step}: {reason}")),
        Rejection::Unavailable(reason) => Rejection::Unavailable(format!("{step}: {reason}")),
        queue_full @ Rejection::QueueFull(_) => queue_full,
    }
}

/// Calls the plugin with small inputs: `decide` with the waves of the plugin's own plan. The plugin may return an error,
/// since the campaign is invented.
fn run_trial_calls(plugin: &Plugin, config: &str) -> Result<(), (&'static str, CallFailure)> {
    let trial = Trial::new(config);
    match plugin.kind() {
        PluginKind::Strategy => {
            let plan = answer("plan", plugin.plan(trial.plan()).outcome)?;
            let trial = trial.with_plan(plan.as_ref());
            answer("decide", plugin.decide(trial.observation()).outcome).map(drop)
        }
        PluginKind::Compatibility => answer("check", plugin.check(trial.check()).outcome).map(drop),
        PluginKind::Health => answer("evaluate", plugin.evaluate(trial.health()).outcome).map(drop),
    }
}

/// The answer of a trial call; `None`: the plugin returned an error.
fn answer<T>(
    call: &'static str,
    outcome: Result<T, CallFailure>,
) -> Result<Option<T>, (&'static str, CallFailure)> {
    match outcome {
        Ok(answer) => Ok(Some(answer)),
        Err(CallFailure::PluginError(_)) => Ok(None),
        Err(failure) => Err((call, failure)),
    }
}

/// Converts the failure of a trial call into the rejection of the upload.
pub(crate) fn to_rejection(failure: &CallFailure) -> Rejection {
    if failure.is_deterministic() {
        Rejection::Invalid(failure.to_string())
    } else {
        Rejection::Unavailable(failure.to_string())
    }
}

fn check_description(description: &Description) -> Result<(), String> {
    if description.version.len() > MAX_VERSION_BYTES {
        return Err(format!(
            "the version is longer than {MAX_VERSION_BYTES} bytes"
        ));
    }
    if let Err(error) = semver::Version::parse(&description.version) {
        return Err(format!(
            "the version `{}` is not a semantic version: {error}",
            description.version.escape_debug()
        ));
    }
    if description.summary.len() > MAX_REASON_BYTES {
        return Err(format!(
            "the summary is longer than {MAX_REASON_BYTES} bytes"
        ));
    }
    // PostgreSQL cannot store them.
    if description.summary.contains('\0') {
        return Err("the summary has a NUL character".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidegate_core::plugin::PluginName;

    use super::*;

    fn check_changed(change: impl FnOnce(&mut Description)) -> Result<(), String> {
        let mut description = Description {
            name: PluginName::built_in("canary"),
            version: "1.0.0".to_owned(),
            summary: String::new(),
            config_schema: "{}".to_owned(),
            state_schema: 1,
        };
        change(&mut description);
        check_description(&description)
    }

    #[test]
    fn invalid_descriptions_are_refused() {
        assert_eq!(check_changed(|_| ()), Ok(()));
        for version in ["", "1", "1.0", "v1.0.0"] {
            assert!(
                check_changed(|d| d.version = version.to_owned()).is_err(),
                "{version}"
            );
        }
        let version = |length: usize| format!("1.0.0-{}", "a".repeat(length - 6));
        assert_eq!(
            check_changed(|d| d.version = version(MAX_VERSION_BYTES)),
            Ok(())
        );
        let longer = check_changed(|d| d.version = version(MAX_VERSION_BYTES + 1));
        let reason = "the version is longer than 128 bytes".to_owned();
        assert_eq!(longer, Err(reason));
        assert!(check_changed(|d| d.summary = "a\0".to_owned()).is_err());
    }
}
