//! Update options that require another option.

use serde_json::{Map, Value};
use tidegate_core::plugin::FieldError;

/// Options that are allowed only together with another option. All names are JSON pointers.
struct DependentOptions {
    options: &'static [&'static str],
    /// The option that they require.
    required: &'static str,
    /// The value that it must have; `None`: any.
    value: Option<&'static str>,
}

static DEPENDENT_OPTIONS: [DependentOptions; 4] = [
    DependentOptions {
        options: &["/forced_at"],
        required: "/update_type",
        value: Some("time_forced"),
    },
    DependentOptions {
        options: &["/on_denied", "/confirmation_timeout_minutes"],
        required: "/requires_confirmation",
        value: Some("true"),
    },
    DependentOptions {
        options: &["/soak_minutes"],
        required: "/success_criteria",
        value: Some("soaked"),
    },
    DependentOptions {
        options: &["/retry_delay"],
        required: "/max_retries",
        value: None,
    },
];

impl DependentOptions {
    fn is_allowed(&self, required: Option<&str>) -> bool {
        required.is_some_and(|value| self.value.is_none_or(|expected| expected == value))
    }

    fn message(&self) -> String {
        let required = &self.required[1..];
        match self.value {
            Some(value) => format!("requires `{required}: {value}`"),
            None => format!("requires `{required}`"),
        }
    }
}

/// The option that this one requires, if there is one.
pub(super) fn required_option(option: &str) -> &'static [&'static str] {
    let mut all = DEPENDENT_OPTIONS.iter();
    let found = all.find(|dependent| dependent.options.contains(&option));
    found.map_or(&[], |dependent| std::slice::from_ref(&dependent.required))
}

/// An error for each option whose required option is left out or has another value. `texts`: the options of a body;
/// `None`: it is left out.
pub(super) fn dependency_errors(texts: &[(&str, Option<&str>)]) -> Vec<FieldError> {
    let text = |option: &str| {
        let mut texts = texts.iter();
        texts.find(|(name, _)| *name == option)?.1
    };
    let broken = DEPENDENT_OPTIONS
        .iter()
        .filter(|dependent| !dependent.is_allowed(text(dependent.required)));
    let errors = broken.flat_map(|dependent| {
        let given = dependent
            .options
            .iter()
            .filter(|option| text(option).is_some());
        given.map(|option| FieldError {
            path: (*option).to_owned(),
            message: dependent.message(),
        })
    });
    errors.collect()
}

/// Removes the options of a body that a merge patch makes invalid, because it changes the option that they require.
pub(crate) fn remove_dependent_options(body: &mut Map<String, Value>, patch: &Value) {
    for dependent in &DEPENDENT_OPTIONS {
        let Some(new) = patch.get(&dependent.required[1..]) else {
            continue;
        };
        let new = match new {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        };
        if !dependent.is_allowed(new.as_deref()) {
            for option in dependent.options {
                body.remove(&option[1..]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_removes_the_options_that_its_value_does_not_allow() {
        let body = json!({
            "update_type": "time_forced", "forced_at": "2026-05-01T12:00:00Z",
            "requires_confirmation": true, "on_denied": "reject", "confirmation_timeout_minutes": 9,
            "success_criteria": "soaked", "soak_minutes": 9, "max_retries": 1, "retry_delay": 9, "note": "a",
        });
        for (patch, removed) in [
            (json!({"update_type": "soft"}), vec!["forced_at"]),
            (json!({"update_type": null}), vec!["forced_at"]),
            (json!({"update_type": "time_forced"}), vec![]),
            (
                json!({"requires_confirmation": false}),
                vec!["on_denied", "confirmation_timeout_minutes"],
            ),
            (json!({"requires_confirmation": true}), vec![]),
            (
                json!({"success_criteria": "attested"}),
                vec!["soak_minutes"],
            ),
            (json!({"success_criteria": "soaked"}), vec![]),
            (json!({"max_retries": null}), vec!["retry_delay"]),
            (json!({"max_retries": 2}), vec![]),
            (json!({"note": null}), vec![]),
        ] {
            let mut expected = body.as_object().expect("an object").clone();
            let mut changed = expected.clone();
            remove_dependent_options(&mut changed, &patch);
            expected.retain(|name, _| !removed.contains(&name.as_str()));
            assert_eq!(changed, expected, "{patch}");
        }
    }
}
