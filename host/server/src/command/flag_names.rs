//! Names of flags for the fields of requests: an error of the server names what the user wrote.

use clap::{Arg, ArgAction, ArgMatches, parser::ValueSource};
use tidegate_engine::Error;

use crate::client::Problem;

/// Flags that are named otherwise than the field that they set. Longer paths come first.
const RENAMED: [(&str, &str); 26] = [
    ("approval_comment", "comment"),
    ("attributes", "attribute"),
    ("device_id", "id"),
    ("failure_threshold_percent", "failure-threshold"),
    ("file", "files"),
    ("firmware_id", "firmware"),
    ("groups", "group"),
    ("is_beta", "beta"),
    ("is_security_update", "security-update"),
    ("labels", "label"),
    ("maintenance_window/duration", "window-duration"),
    ("maintenance_window/prefetch", "prefetch"),
    ("maintenance_window/schedule", "window"),
    ("maintenance_window/timezone", "window-timezone"),
    ("maintenance_window", "window"),
    ("old_token_expires_in", "old-for"),
    ("pinned", "pin"),
    ("policies", "policy"),
    ("q", "query"),
    ("tags", "tag"),
    ("target_version", "to"),
    ("expires_at", "expires"),
    ("target_devices", "device"),
    ("target_groups", "group"),
    ("target_filter", "filter"),
    ("target_feed", "feed"),
];

/// The arguments of the command that is run.
pub(super) struct FlagNames {
    arguments: Vec<Argument>,
    /// Whether a file has the body of the request, in which fields have their own names.
    has_body_file: bool,
}

struct Argument {
    /// The long name, or the id of a positional argument.
    name: String,
    /// As the user writes it: `--name` or `<NAME>`.
    shown: String,
    is_repeatable: bool,
    is_given: bool,
}

impl FlagNames {
    /// The arguments of the innermost subcommand.
    pub(super) fn of(command: &clap::Command, matches: &ArgMatches) -> Self {
        let mut innermost = (command, matches);
        while let Some((name, matches)) = innermost.1.subcommand()
            && let Some(command) = innermost.0.find_subcommand(name)
        {
            innermost = (command, matches);
        }
        let (command, matches) = innermost;
        let arguments = command.get_arguments();
        let arguments: Vec<_> = arguments
            .map(|argument| Argument::new(argument, matches))
            .collect();
        let has_body_file = arguments
            .iter()
            .any(|argument| argument.shown == "--file" && argument.is_given);
        Self {
            arguments,
            has_body_file,
        }
    }

    /// Names the fields in an error of the server, or of the engine, by the flags that set them.
    pub(super) fn name_in(&self, error: anyhow::Error) -> anyhow::Error {
        let error = match error.downcast::<Problem>() {
            Ok(problem) => return problem.with_flags(|field| self.flag(field)).into(),
            Err(error) => error,
        };
        let Some(Error::Invalid { errors, .. }) = error.downcast_ref() else {
            return error;
        };
        let named = errors.iter().filter_map(|error| {
            let flag = self.flag(&error.path)?;
            Some(format!("{flag}: {}", error.message))
        });
        let named: Vec<_> = named.collect();
        if named.is_empty() || named.len() < errors.len() {
            return error;
        }
        anyhow::anyhow!(named.join("\n  "))
    }

    /// The flag that sets a field, which a JSON pointer or the name of a parameter names; `None` if no flag does.
    fn flag(&self, field: &str) -> Option<String> {
        let path = field.trim_start_matches('/');
        if self
            .arguments
            .iter()
            .any(|it| it.shown == "<SETTING=VALUE>")
        {
            return Some(path.replace('/', "."));
        }
        let renamed = RENAMED.iter().find_map(|(field, flag)| {
            let rest = path.strip_prefix(field)?;
            (rest.is_empty() || rest.starts_with('/')).then_some((*flag, rest))
        });
        let (name, rest) = if let Some((flag, rest)) = renamed {
            (flag.to_owned(), rest)
        } else {
            let (name, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
            (name.replace('_', "-"), rest)
        };
        let argument = self.arguments.iter().find(|it| it.name == name)?;
        if self.has_body_file && !argument.is_given {
            return None;
        }
        Some(argument.with(rest))
    }
}

impl Argument {
    fn new(argument: &Arg, matches: &ArgMatches) -> Self {
        let id = argument.get_id().as_str();
        let name = argument.get_long().unwrap_or(id).to_owned();
        let shown = match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => match argument.get_value_names() {
                Some([name, ..]) => format!("<{name}>"),
                _ => format!("<{}>", id.to_uppercase()),
            },
        };
        // Arguments that clap adds by itself have no value.
        let source = matches.try_contains_id(id).ok();
        let source = source.and_then(|_| matches.value_source(id));
        Self {
            name,
            shown,
            is_repeatable: matches!(argument.get_action(), ArgAction::Append),
            is_given: source.is_some_and(|source| source != ValueSource::DefaultValue),
        }
    }

    /// The argument, with the rest of the JSON pointer into its value.
    fn with(&self, pointer: &str) -> String {
        let mut text = self.shown.clone();
        let mut pointer = pointer;
        let index = pointer.strip_prefix('/').unwrap_or_default();
        let (index, rest) = index.split_at(index.find('/').unwrap_or(index.len()));
        if self.is_repeatable
            && let Ok(index) = index.parse::<usize>()
        {
            text += &[" number ", &(index + 1).to_string()].concat();
            pointer = rest;
        }
        if !pointer.is_empty() {
            text += ", ";
            text += pointer;
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::command::Cli;

    fn names(line: &str) -> FlagNames {
        let command = Cli::command();
        let words = std::iter::once("tidegate").chain(line.split(' '));
        let matches = command.clone().try_get_matches_from(words);
        FlagNames::of(&command, &matches.expect("a valid line"))
    }

    fn flag(line: &str, field: &str) -> String {
        names(line).flag(field).unwrap_or_default()
    }

    #[test]
    fn fields_are_named_by_flags() {
        let create = "campaign create --name a --policy b --policy c";
        for (line, field, expected) in [
            (create, "/name", "--name"),
            (create, "/firmware_id", "--firmware"),
            (create, "/target_devices", "--device"),
            (create, "/target_devices/2", "--device number 3"),
            (create, "/target_filter", "--filter"),
            (create, "/timeout_minutes", "--timeout-minutes"),
            (create, "/max_retries", "--max-retries"),
            (create, "/maintenance_window", "--window"),
            (create, "/maintenance_window/timezone", "--window-timezone"),
            (create, "/failure_threshold_percent", "--failure-threshold"),
            (
                create,
                "/strategy/config/steps/1",
                "--strategy, /config/steps/1",
            ),
            (create, "/policies/1/plugin", "--policy number 2, /plugin"),
            (create, "/unknown_field", ""),
            (create, "", ""),
            ("campaign approve 1", "/approval_comment", "--comment"),
            ("device create pi-1", "/device_id", "<ID>"),
            ("device create pi-1", "/labels", "--label"),
            (
                "device create pi-1",
                "/polling_interval",
                "--polling-interval",
            ),
            ("device set pi-1 --pin", "/pinned", "--pin"),
            ("device list", "q", "--query"),
            ("device list", "sort", "--sort"),
            ("device rollback pi-1", "/target_version", "--to"),
            (
                "device token rotate pi-1",
                "/old_token_expires_in",
                "--old-for",
            ),
            (
                "device update pi-1 --firmware 1",
                "/soak_minutes",
                "--soak-minutes",
            ),
            ("firmware upload a.bin", "/file", "<FILE>"),
            ("firmware upload a.bin", "/tags", "--tag"),
            ("firmware upload a.bin", "/version", "--version"),
            (
                "firmware upload a.bin",
                "/modules/0/part",
                "--modules, /0/part",
            ),
            ("gateway create dock", "/name", "<NAME>"),
            ("settings set a=b", "/polling/interval", "polling.interval"),
            ("key create --user a --role viewer", "user", "--user"),
        ] {
            assert_eq!(flag(line, field), expected, "{line}: {field}");
        }
    }

    #[test]
    fn fields_of_a_file_keep_their_names() {
        let line = "campaign create --file body.json --name a";
        assert_eq!(flag(line, "/name"), "--name");
        assert_eq!(flag(line, "/firmware_id"), "");
    }

    #[test]
    fn every_renamed_flag_exists() {
        fn collect(command: &clap::Command, found: &mut Vec<String>) {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                found.push(argument.get_long().unwrap_or(id).to_owned());
            }
            command.get_subcommands().for_each(|it| collect(it, found));
        }
        let mut found = Vec::new();
        collect(&Cli::command(), &mut found);
        for (field, flag) in RENAMED {
            assert!(found.iter().any(|it| it == flag), "{field}: {flag}");
        }
    }
}
