//! How an update is put to its device, as operators say it.

use std::time::Duration;

use jiff::Timestamp as Moment;
use serde::Deserialize;
use tidegate_core::{
    plugin::FieldError,
    time::Timestamp,
    update::{self, Confirmation, Retries, Terms, Timeouts},
};
use utoipa::ToSchema;

use crate::rest::window::WindowBody;

/// How long to wait for an answer when nobody says: a week.
const CONFIRMATION_MINUTES: u64 = 7 * 24 * 60;

/// How urgent it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum UpdateType {
    /// At once.
    #[default]
    Forced,
    /// When it suits the device, or its user.
    Soft,
    /// Soft, and forced from `forced_at` on.
    TimeForced,
    /// Downloaded at once and not installed.
    DownloadOnly,
}

/// What a "no" means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnDenied {
    /// Not now: it stays on offer.
    OfferAgain,
    /// Never: it ends as rejected.
    Reject,
}

/// The fields of a body that say how an update is put to its device.
#[derive(Debug)]
pub(crate) struct TermsForm {
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

/// The fields of a body that say how often it is tried again.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RetryForm {
    pub(crate) max_retries: Option<u32>,
    pub(crate) retry_delay: Option<u64>,
}

impl RetryForm {
    /// How often; none where nothing is said. A delay of no retries is an error.
    pub(crate) fn retries(self, errors: &mut Vec<FieldError>) -> Option<Retries> {
        let Some(most) = self.max_retries else {
            let needs = |_| error("/retry_delay", "needs max_retries beside it");
            errors.extend(self.retry_delay.map(needs));
            return None;
        };
        let delay = self.retry_delay.map(Duration::from_secs);
        Some(Retries {
            most,
            delay: delay.unwrap_or(Retries::NONE.delay),
        })
    }
}

impl TermsForm {
    /// The terms, good only where no errors were added. Their ranges are the engine's to check.
    pub(crate) fn terms(&self, errors: &mut Vec<FieldError>) -> Option<Terms> {
        let update_type = self.update_type(errors);
        let confirmation = self.confirmation(errors);
        let window = self.maintenance_window.as_ref();
        let window = window.and_then(|window| window.window("/maintenance_window", errors));
        let retries = self.retries.retries(errors);
        Some(Terms {
            update_type: update_type?,
            confirmation,
            timeouts: Timeouts {
                update: minutes(self.timeout_minutes),
                download: self.download_timeout_minutes.map(minutes),
                install: self.install_timeout_minutes.map(minutes),
            },
            window,
            retries: retries.unwrap_or(Retries::NONE),
        })
    }

    fn update_type(&self, errors: &mut Vec<FieldError>) -> Option<update::UpdateType> {
        let plain = match self.update_type {
            UpdateType::TimeForced => None,
            UpdateType::Forced => Some(update::UpdateType::Forced),
            UpdateType::Soft => Some(update::UpdateType::Soft),
            UpdateType::DownloadOnly => Some(update::UpdateType::DownloadOnly),
        };
        let refused = match (plain, self.forced_at.as_deref()) {
            (Some(plain), None) => return Some(plain),
            (Some(_), Some(_)) => "belongs to update_type time_forced alone",
            (None, None) => "is needed: from when on is it forced?",
            (None, Some(text)) => match text.parse::<Moment>() {
                Ok(at) => {
                    let at = Timestamp(at.as_millisecond());
                    return Some(update::UpdateType::TimeForced(at));
                }
                Err(_) if is_whole_time(text) => {
                    "is no time that there is: they end at 9999-12-30T22:00:00Z"
                }
                Err(_) => "is no time as RFC 3339 has it: 2026-05-01T12:00:00Z",
            },
        };
        errors.push(error("/forced_at", refused));
        None
    }

    /// What is said of a confirmation; where there is none, nothing may be said of it.
    fn confirmation(&self, errors: &mut Vec<FieldError>) -> Option<Confirmation> {
        if self.requires_confirmation {
            let on_denied = self.on_denied.unwrap_or(OnDenied::OfferAgain);
            let timeout = self.confirmation_timeout_minutes;
            return Some(Confirmation {
                on_denied: on_denied.into(),
                timeout: minutes(timeout.unwrap_or(CONFIRMATION_MINUTES)),
            });
        }
        let said = [
            ("/on_denied", self.on_denied.is_some()),
            (
                "/confirmation_timeout_minutes",
                self.confirmation_timeout_minutes.is_some(),
            ),
        ];
        let said = said.into_iter().filter(|(_, is_said)| *is_said);
        errors.extend(
            said.map(|(field, _)| error(field, "needs requires_confirmation: true beside it")),
        );
        None
    }
}

/// So many minutes.
pub(crate) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

fn error(path: &str, message: &str) -> FieldError {
    FieldError {
        path: path.to_owned(),
        message: message.to_owned(),
    }
}

impl From<OnDenied> for update::OnDenied {
    fn from(answer: OnDenied) -> Self {
        match answer {
            OnDenied::OfferAgain => Self::OfferAgain,
            OnDenied::Reject => Self::Reject,
        }
    }
}

/// Whether it has the shape of a time with its offset, whatever moment that is.
fn is_whole_time(text: &str) -> bool {
    let pieces = jiff::fmt::temporal::Pieces::parse(text);
    pieces.is_ok_and(|pieces| pieces.time().is_some() && pieces.offset().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> TermsForm {
        TermsForm {
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

    fn read(form: &TermsForm) -> Result<Terms, Vec<String>> {
        let mut errors = Vec::new();
        let terms = form.terms(&mut errors);
        let fields: Vec<_> = errors.into_iter().map(|error| error.path).collect();
        match terms {
            Some(terms) if fields.is_empty() => Ok(terms),
            _ => Err(fields),
        }
    }

    #[test]
    fn what_is_left_out_is_forced_and_asks_nobody() {
        assert_eq!(read(&form()), Ok(Terms::forced(Duration::from_hours(1))));
    }

    #[test]
    fn only_what_becomes_forced_has_a_time_for_it() {
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
            let read = read(&TermsForm {
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
    fn what_is_said_of_a_confirmation_needs_one() {
        let idle = TermsForm {
            on_denied: Some(OnDenied::Reject),
            confirmation_timeout_minutes: Some(9),
            ..form()
        };
        let fields = ["/on_denied", "/confirmation_timeout_minutes"].map(str::to_owned);
        assert_eq!(read(&idle), Err(fields.to_vec()));

        let asks = TermsForm {
            requires_confirmation: true,
            ..form()
        };
        let confirmation = read(&asks).expect("it is good").confirmation;
        let confirmation = confirmation.expect("somebody is asked");
        assert_eq!(confirmation.on_denied, update::OnDenied::OfferAgain);
        assert_eq!(confirmation.timeout, Duration::from_hours(7 * 24));
    }

    #[test]
    fn retries_have_a_delay_of_their_own_or_a_minute() {
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
            let read = read(&TermsForm { retries, ..form() });
            let read = read.map(|terms| (terms.retries.most, terms.retries.delay.as_secs()));
            assert_eq!(read, expected, "{max_retries:?} {retry_delay:?}");
        }
    }

    #[test]
    fn a_time_beyond_all_times_is_told_from_nonsense() {
        for (text, expected) in [
            ("9999-12-31T23:59:59Z", true),
            ("9999-12-31T23:59:59+00:00", true),
            ("2026-05-01T12:00:00", false),
            ("2026-05-01", false),
            ("soon", false),
        ] {
            assert_eq!(is_whole_time(text), expected, "{text}");
            assert!(text.parse::<Moment>().is_err(), "{text}");
        }
    }
}
