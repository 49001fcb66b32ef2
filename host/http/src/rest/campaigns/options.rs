//! Update options as requests give them.

use std::time::Duration;

use jiff::Timestamp as JiffTimestamp;
use serde::Deserialize;
use tidegate_core::{
    plugin::FieldError,
    time::Timestamp,
    update::{self, Confirmation, RetryPolicy, Timeouts, UpdateOptions},
};
use utoipa::ToSchema;

use crate::rest::window::WindowBody;

/// Default confirmation timeout: a week.
const DEFAULT_CONFIRMATION_MINUTES: u64 = 7 * 24 * 60;

/// How urgent an update is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UpdateType {
    /// Installed immediately.
    #[default]
    Forced,
    /// Installed when it suits the device or its user.
    Soft,
    /// `soft` until `forced_at`, then `forced`.
    TimeForced,
    /// Downloaded immediately, not installed.
    DownloadOnly,
}

/// What follows when the user denies an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDenied {
    /// It stays on offer.
    OfferAgain,
    /// It ends as rejected.
    Reject,
}

/// The fields of a request body that make up the update options.
#[derive(Debug)]
pub(crate) struct UpdateOptionsForm {
    pub(crate) update_type: UpdateType,
    pub(crate) forced_at: Option<String>,
    pub(crate) requires_confirmation: bool,
    pub(crate) on_denied: Option<OnDenied>,
    pub(crate) timeout_minutes: u64,
    pub(crate) confirmation_timeout_minutes: Option<u64>,
    pub(crate) download_timeout_minutes: Option<u64>,
    pub(crate) install_timeout_minutes: Option<u64>,
    pub(crate) maintenance_window: Option<WindowBody>,
    pub(crate) retries: RetryForm,
}

/// The fields of a request body that make up the retry policy.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RetryForm {
    pub(crate) max_retries: Option<u32>,
    pub(crate) retry_delay: Option<u64>,
}

impl RetryForm {
    /// Returns none when `max_retries` is left out. `retry_delay` without it is an error.
    pub(crate) fn to_policy(self, errors: &mut Vec<FieldError>) -> Option<RetryPolicy> {
        let Some(max_retries) = self.max_retries else {
            let needs = |_| error("/retry_delay", "requires `max_retries`");
            errors.extend(self.retry_delay.map(needs));
            return None;
        };
        let delay = self.retry_delay.map(Duration::from_secs);
        Some(RetryPolicy {
            max_retries,
            delay: delay.unwrap_or(RetryPolicy::NONE.delay),
        })
    }
}

impl UpdateOptionsForm {
    /// Converts to the engine's options, valid only if no errors were added. The engine checks the ranges.
    pub(crate) fn to_options(&self, errors: &mut Vec<FieldError>) -> Option<UpdateOptions> {
        let update_type = self.update_type(errors);
        let confirmation = self.confirmation(errors);
        let window = self.maintenance_window.as_ref();
        let window = window.and_then(|window| window.to_window("/maintenance_window", errors));
        let retries = self.retries.to_policy(errors);
        Some(UpdateOptions {
            update_type: update_type?,
            confirmation,
            timeouts: Timeouts {
                update: from_minutes(self.timeout_minutes),
                download: self.download_timeout_minutes.map(from_minutes),
                install: self.install_timeout_minutes.map(from_minutes),
            },
            window,
            retries: retries.unwrap_or(RetryPolicy::NONE),
        })
    }

    fn update_type(&self, errors: &mut Vec<FieldError>) -> Option<update::UpdateType> {
        let fixed = match self.update_type {
            UpdateType::TimeForced => None,
            UpdateType::Forced => Some(update::UpdateType::Forced),
            UpdateType::Soft => Some(update::UpdateType::Soft),
            UpdateType::DownloadOnly => Some(update::UpdateType::DownloadOnly),
        };
        let message = match (fixed, self.forced_at.as_deref()) {
            (Some(fixed), None) => return Some(fixed),
            (Some(_), Some(_)) => "is only allowed with update_type `time_forced`",
            (None, None) => "is required with update_type `time_forced`",
            (None, Some(text)) => match text.parse::<JiffTimestamp>() {
                Ok(at) => {
                    let at = Timestamp(at.as_millisecond());
                    return Some(update::UpdateType::TimeForced(at));
                }
                Err(_) if is_full_timestamp(text) => {
                    "is out of range: the latest time is 9999-12-30T22:00:00Z"
                }
                Err(_) => "must be an RFC 3339 time, such as 2026-05-01T12:00:00Z",
            },
        };
        errors.push(error("/forced_at", message));
        None
    }

    /// The confirmation, if it is required. Its fields are errors without `requires_confirmation`.
    fn confirmation(&self, errors: &mut Vec<FieldError>) -> Option<Confirmation> {
        if self.requires_confirmation {
            let on_denied = self.on_denied.unwrap_or(OnDenied::OfferAgain);
            let timeout = self.confirmation_timeout_minutes;
            return Some(Confirmation {
                on_denied: on_denied.into(),
                timeout: from_minutes(timeout.unwrap_or(DEFAULT_CONFIRMATION_MINUTES)),
            });
        }
        let given = [
            ("/on_denied", self.on_denied.is_some()),
            (
                "/confirmation_timeout_minutes",
                self.confirmation_timeout_minutes.is_some(),
            ),
        ];
        let given = given.into_iter().filter(|(_, is_given)| *is_given);
        errors
            .extend(given.map(|(field, _)| error(field, "requires `requires_confirmation: true`")));
        None
    }
}

pub(crate) fn from_minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

fn error(path: &str, message: &str) -> FieldError {
    FieldError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

impl From<OnDenied> for update::OnDenied {
    fn from(on_denied: OnDenied) -> Self {
        match on_denied {
            OnDenied::OfferAgain => Self::OfferAgain,
            OnDenied::Reject => Self::Reject,
        }
    }
}

/// Whether `text` is a syntactically complete timestamp with an offset, whether or not it is in range.
fn is_full_timestamp(text: &str) -> bool {
    let pieces = jiff::fmt::temporal::Pieces::parse(text);
    pieces.is_ok_and(|pieces| pieces.time().is_some() && pieces.offset().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> UpdateOptionsForm {
        UpdateOptionsForm {
            update_type: UpdateType::Forced,
            forced_at: None,
            requires_confirmation: false,
            on_denied: None,
            timeout_minutes: 60,
            confirmation_timeout_minutes: None,
            download_timeout_minutes: None,
            install_timeout_minutes: None,
            maintenance_window: None,
            retries: RetryForm::default(),
        }
    }

    fn read(form: &UpdateOptionsForm) -> Result<UpdateOptions, Vec<String>> {
        let mut errors = Vec::new();
        let options = form.to_options(&mut errors);
        let fields: Vec<_> = errors.into_iter().map(|error| error.path).collect();
        match options {
            Some(options) if fields.is_empty() => Ok(options),
            _ => Err(fields),
        }
    }

    #[test]
    fn the_default_is_forced_without_confirmation() {
        assert_eq!(
            read(&form()),
            Ok(UpdateOptions::forced(Duration::from_hours(1)))
        );
    }

    #[test]
    fn forced_at_belongs_to_time_forced() {
        for (update_type, forced_at, good) in [
            (UpdateType::TimeForced, Some("2026-05-01T12:00:00Z"), true),
            (
                UpdateType::TimeForced,
                Some("2026-05-01T12:00:00+02:00"),
                true,
            ),
            (UpdateType::TimeForced, Some("tomorrow"), false),
            (UpdateType::TimeForced, None, false),
            (UpdateType::Soft, Some("2026-05-01T12:00:00Z"), false),
            (UpdateType::DownloadOnly, None, true),
        ] {
            let read = read(&UpdateOptionsForm {
                update_type,
                forced_at: forced_at.map(str::to_owned),
                ..form()
            });
            let expected = if good {
                Ok(())
            } else {
                Err(vec!["/forced_at".to_owned()])
            };
            assert_eq!(read.map(drop), expected, "{update_type:?} {forced_at:?}");
        }
    }

    #[test]
    fn confirmation_fields_need_requires_confirmation() {
        let idle = UpdateOptionsForm {
            on_denied: Some(OnDenied::Reject),
            confirmation_timeout_minutes: Some(9),
            ..form()
        };
        let fields = ["/on_denied", "/confirmation_timeout_minutes"].map(str::to_owned);
        assert_eq!(read(&idle), Err(fields.to_vec()));

        let asks = UpdateOptionsForm {
            requires_confirmation: true,
            ..form()
        };
        let confirmation = read(&asks).expect("valid options").confirmation;
        let confirmation = confirmation.expect("a confirmation");
        assert_eq!(confirmation.on_denied, update::OnDenied::OfferAgain);
        assert_eq!(confirmation.timeout, Duration::from_hours(7 * 24));
    }

    #[test]
    fn the_default_retry_delay_is_a_minute() {
        for (max_retries, retry_delay, expected) in [
            (None, None, Ok((0, 60))),
            (Some(3), None, Ok((3, 60))),
            (Some(3), Some(5), Ok((3, 5))),
            (None, Some(5), Err(vec!["/retry_delay".to_owned()])),
        ] {
            let retries = RetryForm {
                max_retries,
                retry_delay,
            };
            let read = read(&UpdateOptionsForm { retries, ..form() });
            let read =
                read.map(|options| (options.retries.max_retries, options.retries.delay.as_secs()));
            assert_eq!(read, expected, "{max_retries:?} {retry_delay:?}");
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
