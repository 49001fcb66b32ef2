use tidegate_core::{
    Named as _,
    plugin::{PluginName, RevisionState},
};

use crate::{BuiltIns, ports::Revision};

/// The name of a plugin without a default revision, with what can be done about it. `revisions`: all of the plugin, newest
/// first.
pub(super) fn with_advice(
    built_ins: &BuiltIns,
    plugin: &PluginName,
    revisions: &[Revision],
) -> String {
    let advice = if plugin.is_built_in() {
        of_built_in(built_ins, plugin, revisions)
    } else {
        of_revisions(plugin, revisions)
    };
    format!("{plugin}: {advice}")
}

fn of_built_in(built_ins: &BuiltIns, plugin: &PluginName, revisions: &[Revision]) -> String {
    let Some(digest) = built_ins.digest(plugin) else {
        return "this server has no built-in plugin of this name; `tidegate plugin list` shows the plugins"
            .to_owned();
    };
    let mut built_in = revisions.iter().filter(|it| it.stored.digest == digest);
    let state = built_in.next().map_or("not installed yet", state);
    format!(
        "the revision that was built with this server is {state}; an admin can enable it: `tidegate plugin enable {plugin} \
         {digest}`"
    )
}

fn of_revisions(plugin: &PluginName, revisions: &[Revision]) -> String {
    let newest = |state| revisions.iter().find(|it| it.state == state);
    let version = |revision: &Revision| revision.stored.description.version.clone();
    let enable = |revision| format!("`tidegate plugin enable {plugin}@{}`", version(revision));
    if let Some(chosen) = revisions.iter().find(|it| it.is_chosen_default) {
        return format!(
            "the chosen default, {}, is {}; an admin can enable it, {}, or choose another one, `tidegate plugin default`",
            version(chosen),
            state(chosen),
            enable(chosen)
        );
    }
    if let Some(candidate) = newest(RevisionState::Candidate) {
        return format!(
            "an admin can enable the newest candidate, {}: {}",
            version(candidate),
            enable(candidate)
        );
    }
    // It would be the default if it was a release.
    if let Some(enabled) = newest(RevisionState::Enabled) {
        let version = version(enabled);
        return format!("{version} is a pre-release, and has to be named: `{plugin}@{version}`");
    }
    match revisions.first() {
        Some(revision) => format!(
            "the newest revision, {}, is {}; an admin can enable it: {}",
            version(revision),
            state(revision),
            enable(revision)
        ),
        None => {
            "there is no plugin of this name; `tidegate plugin list` shows the plugins".to_owned()
        }
    }
}

fn state(revision: &Revision) -> &'static str {
    revision.state.as_str()
}

#[cfg(test)]
mod tests {
    use RevisionState::{Candidate, Deprecated, Disabled, Enabled};
    use tidegate_core::{
        id::Digest,
        plugin::{Description, Origin, PluginKind},
        time::Timestamp,
    };

    use super::*;
    use crate::ports::{NewRevision, Usage};

    fn revision(plugin: &PluginName, version: &str, state: RevisionState) -> Revision {
        Revision {
            stored: NewRevision {
                digest: Digest::of(version.as_bytes()),
                kind: PluginKind::Strategy,
                contract: "1.0.0".to_owned(),
                description: Description {
                    name: plugin.clone(),
                    version: version.to_owned(),
                    summary: String::new(),
                    config_schema: "{}".to_owned(),
                    state_schema: 1,
                },
                size: 1,
                origin: Origin::Upload,
                created_by: "publisher".to_owned(),
                created_at: Timestamp(0),
            },
            state,
            is_chosen_default: false,
            campaigns: 0,
            usage: Usage::default(),
        }
    }

    #[test]
    fn the_command_that_gives_a_plugin_a_default_is_named() {
        let plugin: PluginName = "acme/rings".parse().expect("a name");
        for (revisions, expected) in [
            (
                &[
                    ("1.2.0", Candidate),
                    ("1.1.0", Candidate),
                    ("1.0.0", Disabled),
                ][..],
                "an admin can enable the newest candidate, 1.2.0: `tidegate plugin enable acme/rings@1.2.0`",
            ),
            (
                &[("2.0.0-rc.1", Enabled), ("1.0.0", Deprecated)],
                "2.0.0-rc.1 is a pre-release, and has to be named: `acme/rings@2.0.0-rc.1`",
            ),
            (
                &[("1.1.0", Deprecated), ("1.0.0", Disabled)],
                "the newest revision, 1.1.0, is deprecated; an admin can enable it: `tidegate plugin enable acme/rings@1.1.0`",
            ),
            (
                &[],
                "there is no plugin of this name; `tidegate plugin list` shows the plugins",
            ),
        ] {
            let revisions = revisions.iter();
            let all: Vec<_> = revisions
                .map(|(version, state)| revision(&plugin, version, *state))
                .collect();
            let advice = with_advice(&BuiltIns::default(), &plugin, &all);
            assert_eq!(advice, format!("acme/rings: {expected}"));
        }
        let mut chosen = revision(&plugin, "1.0.0", Disabled);
        chosen.is_chosen_default = true;
        let all = [revision(&plugin, "1.2.0", Candidate), chosen];
        let advice = with_advice(&BuiltIns::default(), &plugin, &all);
        assert!(
            advice.contains("the chosen default, 1.0.0, is disabled"),
            "{advice}"
        );
    }

    #[test]
    fn a_built_in_plugin_is_enabled_by_the_digest_of_this_server() {
        let plugin = PluginName::built_in("canary");
        let digest = Digest::of(b"1.0.0");
        let built_ins: BuiltIns = [("canary", digest)].into_iter().collect();
        let all = [revision(&plugin, "1.0.0", Disabled)];
        let advice = with_advice(&built_ins, &plugin, &all);
        let command = format!(
            "is disabled; an admin can enable it: `tidegate plugin enable tidegate/canary {digest}`"
        );
        assert!(advice.ends_with(&command), "{advice}");
        let advice = with_advice(&BuiltIns::default(), &plugin, &all);
        assert!(
            advice.contains("has no built-in plugin of this name"),
            "{advice}"
        );
    }
}
