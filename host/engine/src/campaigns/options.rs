use std::time::Duration;

use tidegate_core::{
    time::Timestamp,
    update::{MAX_RETRIES, MAX_RETRY_DELAY, MAX_SOAK, RetryPolicy, SuccessCriteria, UpdateOptions},
    window::WindowState,
};

/// A requested maintenance window must open within this time.
const SOON: Duration = Duration::from_hours(366 * 24);

/// Validates update options. `rule` receives whether a rule holds, the field, and the message.
pub(crate) fn check_options(
    options: &UpdateOptions,
    success_criteria: SuccessCriteria,
    now: Timestamp,
    rule: &mut impl FnMut(bool, &str, &str),
) {
    let minutes = |duration: Duration| duration.as_secs() / 60;
    let timeouts = options.timeouts;
    let whole = minutes(timeouts.update);
    rule(
        (5..=1440).contains(&whole),
        "options.timeouts.update",
        "must be between 5 and 1440 minutes",
    );
    for (field, phase) in [
        ("options.timeouts.download", timeouts.download),
        ("options.timeouts.install", timeouts.install),
    ] {
        let fits = phase.is_none_or(|phase| (1..=whole).contains(&minutes(phase)));
        rule(
            fits,
            field,
            "must be between 1 minute and the timeout of the update",
        );
    }
    if let Some(confirmation) = options.confirmation {
        rule(
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
        rule(
            opening.is_some_and(|opening| opening.since(now) <= SOON),
            "options.window.schedule",
            "must open within a year",
        );
    }
    check_retries(options.retries, rule);
    check_note(&options.note, rule);
    if let Some(soak) = success_criteria.soak() {
        let most = minutes(MAX_SOAK);
        let message = format!("must be between 1 and {most} minutes");
        let fits = (1..=most).contains(&minutes(soak));
        rule(fits, "success_criteria.soak", &message);
    }
    if !options.update_type.installs() {
        rule(
            timeouts.install.is_none(),
            "options.timeouts.install",
            "must be omitted: a download_only update is not installed",
        );
        rule(
            success_criteria == SuccessCriteria::Reported,
            "success_criteria",
            "must be reported: a download_only update brings no new version to attest",
        );
    }
}

/// Validates a note.
pub(crate) fn check_note(note: &str, rule: &mut impl FnMut(bool, &str, &str)) {
    let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\t');
    let fits = note.chars().count() <= UpdateOptions::MAX_NOTE_CHARS && note.chars().all(is_text);
    let message = format!(
        "must have at most {} characters, none of them a control character except newline and tab",
        UpdateOptions::MAX_NOTE_CHARS
    );
    rule(fits, "options.note", &message);
}

/// Validates a retry policy.
pub(crate) fn check_retries(retries: RetryPolicy, rule: &mut impl FnMut(bool, &str, &str)) {
    let message = format!("must be at most {MAX_RETRIES}");
    rule(
        retries.max_retries <= MAX_RETRIES,
        "options.retries.max_retries",
        &message,
    );
    let most = MAX_RETRY_DELAY.as_secs();
    let message = format!("must be between 1 and {most} seconds");
    let fits = (1..=most).contains(&retries.delay.as_secs());
    rule(fits, "options.retries.delay", &message);
}
