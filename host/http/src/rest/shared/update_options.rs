//! Update options in requests and responses.

use std::time::Duration;

use jiff::Timestamp as JiffTimestamp;
use serde::{Deserialize, Serialize};
use tidegate_core::{
    Named as _,
    plugin::FieldError,
    time::Timestamp,
    update::{
        Confirmation, OnDenied, RetryPolicy, SuccessCriteria, Timeouts, UpdateOptions, UpdateType,
        UpdateTypeName,
    },
};
use tidegate_engine::updates::RetryOptions;
use utoipa::ToSchema;

use super::{
    dependent_options::{dependency_errors, required_option},
    window::WindowBody,
};
use crate::{
    field_names::to_request_fields,
    problem::Result,
    rest::{
        enum_field::{
            DeviceRefusalField, EnumField, OnDeniedField, SuccessCriteriaField, UpdateTypeField,
        },
        from_json::BodyPair,
        response::Time,
        rules::{BodyRules, RuleContext, add_errors},
    },
};

/// Default confirmation timeout: a week.
const DEFAULT_CONFIRMATION_MINUTES: u64 = 7 * 24 * 60;
/// Default timeout of an update: an hour.
const DEFAULT_TIMEOUT_MINUTES: u64 = 60;

/// A request body with its own fields and all update options.
pub(crate) type WithUpdateOptions<T> = BodyPair<T, BodyPair<UpdateOptionsBody, RetryOptionsBody>>;

/// The options of an update. The retry options are in [`RetryOptionsBody`].
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct UpdateOptionsBody {
    /// From the offer to the end of the update, 5 to 1440; 60 when left out.
    timeout_minutes: Option<u64>,
    /// From the start of the download to its last byte, 1 to `timeout_minutes`; no separate limit when left out.
    download_timeout_minutes: Option<u64>,
    /// From the last byte until the device is done, 1 to `timeout_minutes`; no separate limit when left out.
    install_timeout_minutes: Option<u64>,
    /// When it may be installed; at any time when left out. Timeouts do not run while a device waits for the window:
    /// `timeout_minutes` begins when it opens. Rollbacks do not wait for it.
    maintenance_window: Option<WindowBody>,
    /// How urgent it is: installed immediately (`forced`), when it suits the device or its user (`soft`), `soft` until
    /// `forced_at` and then `forced` (`time_forced`), or downloaded immediately and not installed (`download_only`).
    #[serde(default)]
    update_type: UpdateTypeField,
    /// With `time_forced`: RFC 3339.
    #[schema(format = DateTime)]
    forced_at: Option<String>,
    /// Whether the device's user must confirm an update before it begins.
    #[serde(default)]
    requires_confirmation: bool,
    /// With `requires_confirmation`: what follows when the user denies the update. It stays on offer (`offer_again`, when
    /// left out), or it ends as rejected (`reject`).
    on_denied: Option<OnDeniedField>,
    /// With `requires_confirmation`: how long to wait for the confirmation, 5 to 43200; 10080, a week, when left out.
    /// The other timeouts begin at the confirmation.
    confirmation_timeout_minutes: Option<u64>,
    /// When an update counts as completed: when the device reports success (`reported`), when it comes back and reports
    /// the new version (`attested`), or when it reports that again after `soak_minutes` without a failure (`soaked`).
    #[serde(default)]
    success_criteria: SuccessCriteriaField,
    /// With `soaked`: 1 to 43200.
    soak_minutes: Option<u64>,
    /// What follows when the device reports `canceled` or `rejected` with the result `failure`, reads the update again
    /// and reports that again: the update fails (`fail`, when left out), or it stays on offer until its timeout (`wait`).
    #[serde(default)]
    device_refusal: DeviceRefusalField,
}

/// The options that a retry may change.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = RetryOptions)]
pub(crate) struct RetryOptionsBody {
    /// How often an update is retried automatically when its device fails or times out, 0 to 10; 0 when left out, and
    /// as before for a retry.
    max_retries: Option<u32>,
    /// With `max_retries`: seconds before the first retry, 1 to 3600; 60 when left out. It doubles with each retry, up
    /// to an hour.
    retry_delay: Option<u64>,
    /// A note for operators, at most 1000 characters; it is not sent to devices. Empty when left out, and as before for
    /// a retry.
    note: Option<String>,
}

/// The update options of a campaign or an update.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = UpdateOptions)]
pub(crate) struct UpdateOptionsView {
    /// `forced`, `soft`, `time_forced` or `download_only`.
    update_type: &'static str,
    forced_at: Option<Time>,
    requires_confirmation: bool,
    /// `offer_again` or `reject`; null without a confirmation.
    on_denied: Option<&'static str>,
    confirmation_timeout_minutes: Option<u64>,
    timeout_minutes: u64,
    download_timeout_minutes: Option<u64>,
    install_timeout_minutes: Option<u64>,
    /// When an update may be installed; null: at any time.
    maintenance_window: Option<WindowBody>,
    /// How often an update is retried when its device fails or times out.
    max_retries: u32,
    /// Seconds before the first retry. It doubles with each retry, up to an hour.
    retry_delay: u64,
    success_criteria: &'static str,
    /// With `soaked` only.
    soak_minutes: Option<u64>,
    /// `wait` or `fail`.
    device_refusal: &'static str,
    /// A note for operators.
    note: String,
}

impl UpdateOptionsView {
    pub(crate) fn new(options: &UpdateOptions, success_criteria: SuccessCriteria) -> Self {
        let UpdateOptions {
            update_type,
            confirmation,
            timeouts,
            window,
            device_refusal,
            retries,
            note,
        } = options;
        Self {
            update_type: update_type.as_str(),
            forced_at: update_type.forced_at().map(Time::from),
            requires_confirmation: confirmation.is_some(),
            on_denied: confirmation.map(|confirmation| confirmation.on_denied.as_str()),
            confirmation_timeout_minutes: confirmation
                .map(|confirmation| to_minutes(confirmation.timeout)),
            timeout_minutes: to_minutes(timeouts.update),
            download_timeout_minutes: timeouts.download.map(to_minutes),
            install_timeout_minutes: timeouts.install.map(to_minutes),
            maintenance_window: window.as_deref().map(WindowBody::from),
            max_retries: retries.max_retries,
            retry_delay: retries.delay.as_secs(),
            success_criteria: success_criteria.as_str(),
            soak_minutes: success_criteria.soak().map(to_minutes),
            device_refusal: device_refusal.as_str(),
            note: note.clone(),
        }
    }
}

impl BodyPair<UpdateOptionsBody, RetryOptionsBody> {
    /// Converts to the domain's options. Invalid ones have placeholders and errors. The engine checks the ranges.
    pub(crate) fn to_options(
        &self,
        errors: &mut Vec<FieldError>,
    ) -> (UpdateOptions, SuccessCriteria) {
        let Self(body, retries) = self;
        errors.extend(body.dependency_errors());
        let window = body.maintenance_window.as_ref();
        let options = UpdateOptions {
            update_type: body.update_type(errors),
            confirmation: body.confirmation(),
            timeouts: Timeouts {
                update: from_minutes(body.timeout_minutes.unwrap_or(DEFAULT_TIMEOUT_MINUTES)),
                download: body.download_timeout_minutes.map(from_minutes),
                install: body.install_timeout_minutes.map(from_minutes),
            },
            window: window.and_then(|window| window.to_window("/maintenance_window", errors)),
            device_refusal: body.device_refusal.0,
            retries: retries.to_policy(errors).unwrap_or(RetryPolicy::NONE),
            note: retries.note.clone().unwrap_or_default(),
        };
        (options, body.success_criteria(errors))
    }
}

impl RetryOptionsBody {
    /// Converts to the engine's options for a retry.
    pub(crate) fn to_retry_options(&self, errors: &mut Vec<FieldError>) -> RetryOptions {
        RetryOptions {
            retries: self.to_policy(errors),
            note: self.note.clone(),
        }
    }

    /// Returns none when `max_retries` is left out.
    fn to_policy(&self, errors: &mut Vec<FieldError>) -> Option<RetryPolicy> {
        errors.extend(dependency_errors(&[
            ("/max_retries", given(self.max_retries.is_some())),
            ("/retry_delay", given(self.retry_delay.is_some())),
        ]));
        let max_retries = self.max_retries?;
        let delay = self.retry_delay.map(Duration::from_secs);
        Some(RetryPolicy {
            max_retries,
            delay: delay.unwrap_or(RetryPolicy::NONE.delay),
        })
    }
}

/// Other fields that the rules of an option read.
pub(crate) fn also_reads(option: &str) -> &'static [&'static str] {
    match option {
        "/download_timeout_minutes" => &["/timeout_minutes"],
        "/install_timeout_minutes" => &["/timeout_minutes", "/update_type"],
        "/success_criteria" => &["/update_type", "/soak_minutes"],
        _ => required_option(option),
    }
}

/// The text of an option whose value no other option requires.
fn given(is_given: bool) -> Option<&'static str> {
    is_given.then_some("")
}

impl BodyRules for RetryOptionsBody {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        let mut errors = Vec::new();
        let options = self.to_retry_options(&mut errors);
        add_errors(&mut errors, to_request_fields(options.validate()));
        Ok(errors)
    }

    fn also_reads(field: &str) -> &'static [&'static str] {
        also_reads(field)
    }
}

impl UpdateOptionsBody {
    fn dependency_errors(&self) -> Vec<FieldError> {
        let timeout = self.confirmation_timeout_minutes;
        let requires_confirmation = if self.requires_confirmation {
            "true"
        } else {
            "false"
        };
        dependency_errors(&[
            ("/update_type", Some(self.update_type.0.as_str())),
            ("/forced_at", given(self.forced_at.is_some())),
            ("/requires_confirmation", Some(requires_confirmation)),
            ("/on_denied", given(self.on_denied.is_some())),
            ("/confirmation_timeout_minutes", given(timeout.is_some())),
            ("/success_criteria", Some(self.success_criteria.0.as_str())),
            ("/soak_minutes", given(self.soak_minutes.is_some())),
        ])
    }

    fn update_type(&self, errors: &mut Vec<FieldError>) -> UpdateType {
        let EnumField(name) = self.update_type;
        if name != UpdateTypeName::TimeForced {
            return UpdateType::new(name, None).unwrap_or(UpdateType::Forced);
        }
        let forced_at = match self.forced_at.as_deref() {
            Some(text) => parse_time(text).map(Some),
            None => Err("is required with `update_type: time_forced`"),
        };
        let forced_at = forced_at.unwrap_or_else(|message| {
            errors.push(error("/forced_at", message));
            None
        });
        UpdateType::new(name, forced_at).unwrap_or(UpdateType::Forced)
    }

    /// The confirmation, if it is required.
    fn confirmation(&self) -> Option<Confirmation> {
        let on_denied = self.on_denied.map(|EnumField(on_denied)| on_denied);
        let timeout = self.confirmation_timeout_minutes;
        self.requires_confirmation.then(|| Confirmation {
            on_denied: on_denied.unwrap_or(OnDenied::OfferAgain),
            timeout: from_minutes(timeout.unwrap_or(DEFAULT_CONFIRMATION_MINUTES)),
        })
    }

    fn success_criteria(&self, errors: &mut Vec<FieldError>) -> SuccessCriteria {
        let EnumField(name) = self.success_criteria;
        let soak = self.soak_minutes.map(from_minutes);
        SuccessCriteria::new(name, soak).unwrap_or_else(|| {
            if soak.is_none() {
                let message = "is required with `success_criteria: soaked`";
                errors.push(error("/soak_minutes", message));
            }
            SuccessCriteria::new(name, None).unwrap_or(SuccessCriteria::Attested)
        })
    }
}

fn from_minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

fn to_minutes(duration: Duration) -> u64 {
    duration.as_secs() / 60
}

fn error(path: &str, message: &str) -> FieldError {
    FieldError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

fn parse_time(text: &str) -> std::result::Result<Timestamp, &'static str> {
    let at: Result<JiffTimestamp, _> = text.parse();
    at.map(|at| Timestamp(at.as_millisecond())).map_err(|_| {
        if is_full_timestamp(text) {
            "is out of range: the latest time is 9999-12-30T22:00:00Z"
        } else {
            "must be an RFC 3339 time, such as 2026-05-01T12:00:00Z"
        }
    })
}

/// Whether `text` is a syntactically complete timestamp with an offset, whether or not it is in range.
fn is_full_timestamp(text: &str) -> bool {
    let pieces = jiff::fmt::temporal::Pieces::parse(text);
    pieces.is_ok_and(|pieces| pieces.time().is_some() && pieces.offset().is_some())
}

#[cfg(test)]
mod tests {
    use tidegate_core::update::DeviceRefusal;

    use super::*;
    use crate::rest::from_json::FromJson as _;

    /// The options, or the invalid fields.
    fn read(text: &str) -> Result<(UpdateOptions, SuccessCriteria), Vec<String>> {
        let json = serde_json::from_str(text).expect("JSON");
        let decoded = BodyPair::<UpdateOptionsBody, RetryOptionsBody>::from_json(&json);
        let body = decoded.value.expect("a body");
        let mut errors = decoded.invalid;
        let options = body.to_options(&mut errors);
        if errors.is_empty() {
            return Ok(options);
        }
        Err(errors.into_iter().map(|error| error.path).collect())
    }

    #[test]
    fn the_default_is_forced_without_confirmation() {
        let options = UpdateOptions::forced(Duration::from_hours(1));
        let criteria = SuccessCriteria::Reported;
        assert_eq!(read("{}"), Ok((options, criteria)));
    }

    #[test]
    fn dependent_fields_need_the_fields_that_they_depend_on() {
        for (text, invalid) in [
            (
                r#"{"update_type": "time_forced", "forced_at": "2026-05-01T12:00:00Z"}"#,
                None,
            ),
            (
                r#"{"update_type": "time_forced", "forced_at": "2026-05-01T12:00:00+02:00"}"#,
                None,
            ),
            (
                r#"{"update_type": "time_forced", "forced_at": "tomorrow"}"#,
                Some("/forced_at"),
            ),
            (r#"{"update_type": "time_forced"}"#, Some("/forced_at")),
            (
                r#"{"update_type": "soft", "forced_at": "2026-05-01T12:00:00Z"}"#,
                Some("/forced_at"),
            ),
            (r#"{"update_type": "download_only"}"#, None),
            (r#"{"on_denied": "reject"}"#, Some("/on_denied")),
            (
                r#"{"confirmation_timeout_minutes": 9}"#,
                Some("/confirmation_timeout_minutes"),
            ),
            (r#"{"success_criteria": "soaked"}"#, Some("/soak_minutes")),
            (r#"{"success_criteria": "soaked", "soak_minutes": 9}"#, None),
            (
                r#"{"success_criteria": "attested", "soak_minutes": 9}"#,
                Some("/soak_minutes"),
            ),
            (r#"{"soak_minutes": 9}"#, Some("/soak_minutes")),
        ] {
            let expected = invalid.map_or(Ok(()), |field| Err(vec![field.to_owned()]));
            assert_eq!(read(text).map(drop), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_fails_by_default() {
        for (text, expected) in [
            ("{}", Ok(DeviceRefusal::Fail)),
            (r#"{"device_refusal": "fail"}"#, Ok(DeviceRefusal::Fail)),
            (r#"{"device_refusal": "wait"}"#, Ok(DeviceRefusal::Wait)),
            (
                r#"{"device_refusal": "never"}"#,
                Err(vec!["/device_refusal".to_owned()]),
            ),
        ] {
            let read = read(text).map(|(options, _)| options.device_refusal);
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_confirmation_has_defaults() {
        let (options, _) = read(r#"{"requires_confirmation": true}"#).expect("valid options");
        let confirmation = options.confirmation.expect("a confirmation");
        assert_eq!(confirmation.on_denied, OnDenied::OfferAgain);
        assert_eq!(confirmation.timeout, Duration::from_hours(7 * 24));
    }

    #[test]
    fn the_default_retry_delay_is_a_minute() {
        for (text, expected) in [
            ("{}", Ok((0, 60))),
            (r#"{"max_retries": 3}"#, Ok((3, 60))),
            (r#"{"max_retries": 3, "retry_delay": 5}"#, Ok((3, 5))),
            (
                r#"{"retry_delay": 5}"#,
                Err(vec!["/retry_delay".to_owned()]),
            ),
        ] {
            let retries = read(text).map(|(options, _)| options.retries);
            let read = retries.map(|retries| (retries.max_retries, retries.delay.as_secs()));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_timestamp_out_of_range_is_recognised() {
        for (text, expected) in [
            ("9999-12-31T23:59:59Z", true),
            ("9999-12-31T23:59:59+00:00", true),
            ("2026-05-01T12:00:00", false),
            ("2026-05-01", false),
            ("soon", false),
        ] {
            assert_eq!(is_full_timestamp(text), expected, "{text}");
            assert!(text.parse::<JiffTimestamp>().is_err(), "{text}");
        }
    }
}
