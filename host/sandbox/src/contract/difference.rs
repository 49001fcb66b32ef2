//! The differences of two JSON values, for people.

use serde_json::Value;

/// Maximum number of lines.
const MAX_LINES: usize = 20;
/// Maximum number of characters of a value.
const MAX_VALUE_CHARS: usize = 300;

/// A line for each place in which the values differ, with its JSON pointer.
pub(super) fn differences(expected: &Value, actual: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", Some(expected), Some(actual), &mut lines);
    if lines.len() > MAX_LINES {
        let more = lines.len() - MAX_LINES;
        lines.truncate(MAX_LINES);
        lines.push(format!("and {more} more differences"));
    }
    lines
}

fn compare(
    pointer: &str,
    expected: Option<&Value>,
    actual: Option<&Value>,
    lines: &mut Vec<String>,
) {
    match (expected, actual) {
        // Without a common name they are different cases of a variant.
        (Some(Value::Object(expected)), Some(Value::Object(actual)))
            if expected.keys().any(|name| actual.contains_key(name)) =>
        {
            let added = actual.keys().filter(|name| !expected.contains_key(*name));
            for name in expected.keys().chain(added) {
                let pointer = format!("{pointer}/{name}");
                compare(&pointer, expected.get(name), actual.get(name), lines);
            }
        }
        (Some(Value::Array(expected)), Some(Value::Array(actual))) => {
            for index in 0..expected.len().max(actual.len()) {
                let pointer = format!("{pointer}/{index}");
                compare(&pointer, expected.get(index), actual.get(index), lines);
            }
        }
        (expected, actual) if expected == actual => {}
        (expected, actual) => {
            let place = if pointer.is_empty() { "/" } else { pointer };
            let [expected, actual] = [expected, actual].map(shown);
            lines.push(format!("{place}: expected {expected}, got {actual}"));
        }
    }
}

fn shown(value: Option<&Value>) -> String {
    let Some(value) = value else {
        return "nothing".to_owned();
    };
    let text = value.to_string();
    match text.char_indices().nth(MAX_VALUE_CHARS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_is_named() {
        let expected = json!({"Ok": {"a": [1, 2], "b": {"c": null}, "d": "x", "same": [{}]}});
        let actual = json!({"Ok": {"a": [1, 3, 4], "b": {"c": 5}, "e": true, "same": [{}]}});
        assert_eq!(
            differences(&expected, &actual),
            [
                "/Ok/a/1: expected 2, got 3",
                "/Ok/a/2: expected nothing, got 4",
                "/Ok/b/c: expected null, got 5",
                "/Ok/d: expected \"x\", got nothing",
                "/Ok/e: expected nothing, got true",
            ]
        );
        assert_eq!(
            differences(&json!([]), &json!({})),
            ["/: expected [], got {}"]
        );
    }

    #[test]
    fn cases_of_a_variant_are_compared_as_a_whole() {
        let [expected, actual] = [
            json!({"Ok": {"Hold": "x"}}),
            json!({"Ok": {"Complete": null}}),
        ];
        assert_eq!(
            differences(&expected, &actual),
            [r#"/Ok: expected {"Hold":"x"}, got {"Complete":null}"#]
        );
        assert_eq!(differences(&json!({}), &json!({})), [""; 0]);
    }

    #[test]
    fn the_number_and_the_length_of_lines_are_limited() {
        let lines = differences(&json!(vec![0; 25]), &json!(vec![1; 25]));
        assert_eq!(lines.len(), MAX_LINES + 1);
        assert_eq!(lines[MAX_LINES], "and 5 more differences");
        let [line] = &*differences(&json!("é".repeat(1000)), &json!(1)) else {
            panic!("one line");
        };
        assert!(line.chars().count() < 400, "{line}");
    }
}
