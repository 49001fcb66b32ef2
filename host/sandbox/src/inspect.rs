//! What is tried of a plugin before it is taken in.

use tidegate_core::plugin::{Description, Kind};
use tidegate_engine::ports::{CallFailure, Rejection};

use crate::{plugin::Plugin, text::REASON_BYTES, trial};

/// Most metrics, and most attributes, that a plugin may want.
const WANTED: usize = 64;
/// Bytes of the name of one.
const WANTED_BYTES: usize = 128;

/// Links it, has it describe itself, and calls it once or twice on a small invented campaign.
pub(crate) fn inspect(plugin: &Plugin) -> Result<Description, Rejection> {
    let refuse = |step: &str, failure: &CallFailure| match rejection(failure) {
        Rejection::Invalid(why) => Rejection::Invalid(format!("{step}: {why}")),
        Rejection::Unavailable(why) => Rejection::Unavailable(format!("{step}: {why}")),
    };
    plugin
        .try_linking()
        .map_err(|failure| refuse("trying to make an instance of it", &failure))?;
    let description = plugin
        .describe()
        .map_err(|failure| refuse("calling its `describe`", &failure))?;
    check(&description).map_err(|why| Rejection::Invalid(format!("its description: {why}")))?;
    let schema = plugin
        .schema()
        .map_err(|failure| refuse("reading its description", &failure))?;

    let example = schema.example();
    let config = example
        .as_ref()
        .map_or_else(|| "{}".to_owned(), ToString::to_string);
    let complaints = plugin.validate_itself(&config).outcome;
    match complaints {
        // A config that its own schema refuses is none that it must bear.
        Err(_) if example.is_none() => return Ok(description),
        Err(failure) => return Err(refuse("calling its `validate`", &failure)),
        Ok(complaints) if !complaints.is_empty() => return Ok(description),
        Ok(_) => {}
    }
    if example.is_some() {
        tried(plugin, &config)
            .map_err(|(call, failure)| refuse(&format!("trying its `{call}`"), &failure))?;
    }
    Ok(description)
}

/// Asks small questions. An error in words is an answer too: the campaign is invented, and it may not like it.
fn tried(plugin: &Plugin, config: &str) -> Result<(), (&'static str, CallFailure)> {
    let answered = |call: &'static str, outcome: Result<(), CallFailure>| match outcome {
        Ok(()) | Err(CallFailure::PluginError(_)) => Ok(()),
        Err(failure) => Err((call, failure)),
    };
    match plugin.kind() {
        Kind::Strategy => {
            let planned = plugin.plan(trial::plan(config));
            answered("plan", planned.outcome.map(drop))?;
            let decided = plugin.decide(trial::observation(config));
            answered("decide", decided.outcome.map(drop))
        }
        Kind::Compatibility => {
            let checked = plugin.check(trial::check(config));
            answered("check", checked.outcome.map(drop))
        }
        Kind::Health => {
            let evaluated = plugin.evaluate(trial::health(config));
            answered("evaluate", evaluated.outcome.map(drop))
        }
    }
}

/// What a failed trial means for the upload.
pub(crate) fn rejection(failure: &CallFailure) -> Rejection {
    if failure.is_deterministic() {
        Rejection::Invalid(failure.to_string())
    } else {
        Rejection::Unavailable(failure.to_string())
    }
}

fn check(description: &Description) -> Result<(), String> {
    let name = &description.name;
    let named = (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if !named {
        return Err(format!(
            "the name `{}` is not 1 to 64 of a-z, 0-9 and -",
            name.escape_debug().take(128).collect::<String>()
        ));
    }
    if let Err(error) = semver::Version::parse(&description.version) {
        return Err(format!(
            "the version `{}` is no SemVer: {error}",
            description
                .version
                .escape_debug()
                .take(128)
                .collect::<String>()
        ));
    }
    if description.summary.len() > REASON_BYTES {
        return Err(format!("the summary is longer than {REASON_BYTES} bytes"));
    }
    for (what, names) in [
        ("metrics", &description.metrics),
        ("attributes", &description.attributes),
    ] {
        let fit = |name: &String| (1..=WANTED_BYTES).contains(&name.len());
        if names.len() > WANTED || !names.iter().all(fit) {
            return Err(format!(
                "it may want {WANTED} {what}, with names of 1 to {WANTED_BYTES} bytes"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(change: impl FnOnce(&mut Description)) -> Result<(), String> {
        let mut description = Description {
            name: "canary".to_owned(),
            version: "1.0.0".to_owned(),
            summary: String::new(),
            config_schema: "{}".to_owned(),
            state_schema: 1,
            metrics: Vec::new(),
            attributes: Vec::new(),
        };
        change(&mut description);
        check(&description)
    }

    #[test]
    fn descriptions_keep_their_rules() {
        assert_eq!(described(|_| ()), Ok(()));
        assert_eq!(described(|d| d.name = "x".repeat(64)), Ok(()));
        for name in ["", "Canary", "a b", "a_b", "ä", &"x".repeat(65)] {
            assert!(described(|d| d.name = name.to_owned()).is_err(), "{name}");
        }
        for version in ["", "1", "1.0", "v1.0.0"] {
            assert!(
                described(|d| d.version = version.to_owned()).is_err(),
                "{version}"
            );
        }
        assert!(described(|d| d.metrics = vec![String::new()]).is_err());
        assert!(described(|d| d.attributes = vec!["a".to_owned(); 65]).is_err());
    }
}
