//! What commands print. Devices, publishers and other servers choose most of it, so what would act on a terminal is
//! escaped here.

use std::{fmt::Display, io::Write as _, process::ExitCode};

use serde_json::Value;
use tidegate_core::visible_text::{visible, visible_json, visible_lines};

use crate::client::{ConnectionError, RestClient};

/// Prints lines; exits if the reader has closed the pipe, as `head` does.
pub(super) fn print(lines: impl Display) {
    let lines = lines.to_string();
    if writeln!(std::io::stdout(), "{}", visible_lines(&lines)).is_err() {
        std::process::exit(1);
    }
}

/// Prints JSON in one line.
pub(super) fn print_json(value: &Value) {
    print(visible_json(&value.to_string()));
}

/// Prints JSON text as it is.
pub(super) fn print_json_text(json: &str) {
    print(visible_json(json.trim_end()));
}

/// Prints a response: as JSON if requested, else as text by `human`.
pub(super) fn show(rest: &RestClient, answer: &Value, human: impl FnOnce(&Value) -> String) {
    show_value(rest.wants_json(), answer, human);
}

/// Prints a result: as JSON, or as text by `human`.
pub(super) fn show_value(as_json: bool, value: &Value, human: impl FnOnce(&Value) -> String) {
    if as_json {
        print_json_text(&format!("{value:#}"));
    } else {
        print(human(&visible_value(value)));
    }
}

/// The value with visible texts, each of one line: a line that is composed of them is not broken by one of them.
pub(super) fn visible_value(value: &Value) -> Value {
    match value {
        Value::String(text) => visible(text).into(),
        Value::Array(items) => items.iter().map(visible_value).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (visible(name).into_owned(), visible_value(value)))
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

/// Prints lines to stderr, if it can be written.
pub(super) fn print_error(lines: impl Display) {
    let lines = lines.to_string();
    let _ = writeln!(std::io::stderr(), "{}", visible_lines(&lines));
}

/// Prints why the program failed.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    // The exit code reports the failure too if stderr cannot be written.
    print_error(format_args!("error: {error:#}"));
    ExitCode::from(if error.is::<ConnectionError>() { 3 } else { 1 })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_texts_of_a_value_become_visible() {
        let value = json!({"a\n": ["b\u{1b}[2J", 1, {"c": "d\r\u{202e}"}], "e": null});
        let expected = json!({"a\\n": ["b\\u{1b}[2J", 1, {"c": "d\\r\\u{202e}"}], "e": null});
        assert_eq!(visible_value(&value), expected);
    }
}
