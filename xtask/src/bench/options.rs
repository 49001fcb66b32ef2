//! Options among the arguments that are passed on to the benchmark.

use std::ffi::OsString;

use anyhow::{Context, Result};

/// Takes an option out of the arguments. Returns its values, and the other arguments.
pub(super) fn take_option(
    name: &str,
    arguments: &[OsString],
) -> Result<(Vec<String>, Vec<OsString>)> {
    let (mut values, mut rest) = (Vec::new(), Vec::new());
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let text = argument.to_string_lossy();
        if text == name {
            let value = arguments.next();
            let value = value.with_context(|| format!("{name} needs a value"))?;
            values.push(value.to_string_lossy().into_owned());
        } else if let Some((_, value)) = text.split_once('=').filter(|(key, _)| *key == name) {
            values.push(value.to_owned());
        } else {
            rest.push(argument.clone());
        }
    }
    Ok((values, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_taken_wherever_it_stands() {
        let take = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            take_option("--only", &arguments)
        };
        let (values, rest) =
            take(&["--quick", "--only", "a,b", "--onlyx=c", "--only=d"]).expect("values");
        assert_eq!(values, ["a,b", "d"]);
        assert_eq!(rest, ["--quick", "--onlyx=c"]);
        let error = take(&["--only"]).expect_err("no value");
        assert_eq!(error.to_string(), "--only needs a value");
    }
}
