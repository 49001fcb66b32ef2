//! The output format of commands that need no server, beside others that do.

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use super::Remote;

/// Takes the place of [`Remote`] in a command that needs no server: of its options the help shows `--json` only, and the
/// others have no effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalOutput {
    pub(crate) json: bool,
}

impl Args for LocalOutput {
    fn augment_args(command: Command) -> Command {
        let remote = Remote::augment_args(Command::default());
        command.args(remote.get_arguments().cloned().map(local_option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn local_option(option: Arg) -> Arg {
    if option.get_id() == "json" {
        option.help("Print JSON").help_heading(None)
    } else {
        option.hide(true)
    }
}

impl FromArgMatches for LocalOutput {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let json = matches.get_flag("json");
        Ok(Self { json })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
