//! The names of the engine's inputs in requests.

use tidegate_core::plugin::FieldError;

/// Fields that requests name otherwise than the engine does. All others have the same path.
const FIELD_NAMES: &[(&str, &str)] = &[
    ("firmware", "/firmware_id"),
    ("targets.devices", "/target_devices"),
    ("targets.groups", "/target_groups"),
    ("targets.filter", "/target_filter"),
    ("targets.feed", "/target_feed"),
    ("options.timeouts.update", "/timeout_minutes"),
    ("options.timeouts.download", "/download_timeout_minutes"),
    ("options.timeouts.install", "/install_timeout_minutes"),
    (
        "options.confirmation.timeout",
        "/confirmation_timeout_minutes",
    ),
    ("options.window", "/maintenance_window"),
    ("options.retries.max_retries", "/max_retries"),
    ("options.retries.delay", "/retry_delay"),
    ("options", ""),
    ("success_criteria.soak", "/soak_minutes"),
    ("old_token_lifetime", "/old_token_expires_in"),
    ("details", ""),
    ("checksums.md5", "/checksum_md5"),
    ("checksums.sha1", "/checksum_sha1"),
    ("checksums.sha256", "/checksum_sha256"),
    ("files", "/file"),
    // Parameters of the query and a header.
    ("selector", "q"),
    ("sort", "sort"),
    ("idempotency_key", "Idempotency-Key"),
];

/// Replaces the engine's paths by JSON pointers and names of parameters.
pub(crate) fn to_request_fields(mut errors: Vec<FieldError>) -> Vec<FieldError> {
    for error in &mut errors {
        error.path = to_request_field(&error.path);
    }
    errors
}

/// The engine separates names by dots. A JSON pointer into a plugin's config may follow.
pub(crate) fn to_request_field(path: &str) -> String {
    let (field, pointer) = path.split_at(path.find('/').unwrap_or(path.len()));
    let slashes = |names: &str| names.replace('.', "/");
    for (name, request_field) in FIELD_NAMES {
        if let Some(rest) = field.strip_prefix(name)
            && (rest.is_empty() || rest.starts_with('.'))
        {
            return format!("{request_field}{}{pointer}", slashes(rest));
        }
    }
    if field.is_empty() {
        return pointer.to_owned();
    }
    format!("/{}{pointer}", slashes(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_engine_become_fields_of_the_request() {
        for (path, field) in [
            ("", ""),
            ("name", "/name"),
            ("firmware", "/firmware_id"),
            ("targets.filter", "/target_filter"),
            ("options.window.schedule", "/maintenance_window/schedule"),
            ("options.note", "/note"),
            ("strategy.config/steps/1", "/strategy/config/steps/1"),
            ("policies.0.plugin", "/policies/0/plugin"),
            ("details.version", "/version"),
            ("files", "/file"),
            ("modules.1.files.0.md5", "/modules/1/files/0/md5"),
            ("selector", "q"),
        ] {
            assert_eq!(to_request_field(path), field, "{path}");
        }
    }
}
