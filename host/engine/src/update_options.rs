//! The rules of the options of an update, for campaigns and single updates.

use std::time::Duration;

use tidegate_core::{
    plugin::FieldError,
    time::Timestamp,
    update::{MAX_RETRIES, MAX_RETRY_DELAY, MAX_SOAK, RetryPolicy, SuccessCriteria, UpdateOptions},
    window::WindowState,
};

use crate::rules::Rules;

/// A requested maintenance window must open within this time.
const MAX_TIME_TO_WINDOW: Duration = Duration::from_hours(366 * 24);

/// Checks the options of an update.
pub(crate) fn check_options(
    options: &UpdateOptions,
    success_criteria: SuccessCriteria,
    now: Timestamp,
    rules: &mut Rules,
) {
    let minutes = |duration: Duration| duration.as_secs() / 60;
    let timeouts = options.timeouts;
    let whole = minutes(timeouts.update);
    rules.require(
        (5..=1440).contains(&whole),
        "options.timeouts.update",
        "must be between 5 and 1440 minutes",
    );
    for (field, phase) in [
        ("options.timeouts.download", timeouts.download),
        ("options.timeouts.install", timeouts.install),
    ] {
        let fits = phase.is_none_or(|phase| (1..=whole).contains(&minutes(phase)));
        rules.require(
            fits,
            field,
            "must be between 1 minute and the timeout of the update",
        );
    }
    if let Some(confirmation) = options.confirmation {
        rules.require(
            (5..=43_200).contains(&minutes(confirmation.timeout)),
            "options.confirmation.timeout",
            "must be between 5 and 43200 minutes",
        );
    }
    if let Some(window) = &options.window {
        let opening = match window.state(now) {
            WindowState::Open { .. } => Some(now),
            WindowState::Closed { opens_at } => opens_at,
        };
        rules.require(
            opening.is_some_and(|opening| opening.since(now) <= MAX_TIME_TO_WINDOW),
            "options.window.schedule",
            "must open within a year",
        );
    }
    check_retries(options.retries, rules);
    check_note(&options.note, rules);
    if let Some(soak) = success_criteria.soak() {
        let most = minutes(MAX_SOAK);
        let message = format!("must be between 1 and {most} minutes");
        let fits = (1..=most).contains(&minutes(soak));
        rules.require(fits, "success_criteria.soak", &message);
    }
    if !options.update_type.installs() {
        rules.require(
            timeouts.install.is_none(),
            "options.timeouts.install",
            "must be omitted: a download_only update is not installed",
        );
        rules.require(
            success_criteria == SuccessCriteria::Reported,
            "success_criteria",
            "must be reported: a download_only update brings no new version to attest",
        );
    }
}

fn check_note(note: &str, rules: &mut Rules) {
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let fits = note.chars().count() <= UpdateOptions::MAX_NOTE_CHARS && note.chars().all(is_text);
    let message = format!(
        "must have at most {} characters, none of them a control character except newline and tab",
        UpdateOptions::MAX_NOTE_CHARS
    );
    rules.require(fits, "options.note", &message);
}

fn check_retries(retries: RetryPolicy, rules: &mut Rules) {
    let message = format!("must be at most {MAX_RETRIES}");
    rules.require(
        retries.max_retries <= MAX_RETRIES,
        "options.retries.max_retries",
        &message,
    );
    let most = MAX_RETRY_DELAY.as_secs();
    let message = format!("must be between 1 and {most} seconds");
    let fits = (1..=most).contains(&retries.delay.as_secs());
    rules.require(fits, "options.retries.delay", &message);
}

/// The options that a retry may change. `None` keeps those of the update.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RetryOptions {
    /// Automatic retries.
    pub retries: Option<RetryPolicy>,
    /// A note of operators.
    pub note: Option<String>,
}

impl RetryOptions {
    pub(crate) fn apply(self, options: UpdateOptions) -> UpdateOptions {
        UpdateOptions {
            retries: self.retries.unwrap_or(options.retries),
            note: self.note.unwrap_or(options.note),
            ..options
        }
    }

    /// The invalid fields.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut rules = Rules::default();
        if let Some(retries) = self.retries {
            check_retries(retries, &mut rules);
        }
        if let Some(note) = &self.note {
            check_note(note, &mut rules);
        }
        rules.into_errors()
    }
}
