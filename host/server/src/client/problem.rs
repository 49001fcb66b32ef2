use std::{fmt, time::Duration};

use serde::Deserialize;
use tidegate_core::visible_text::visible;

const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_mins(1);

/// The server's problem response.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    errors: Vec<FieldError>,
    /// When the server asks for the request again, from its `Retry-After`.
    #[serde(skip)]
    retry_after: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct FieldError {
    field: String,
    message: String,
}

impl Problem {
    /// Parses an unsuccessful response; a body that is no problem becomes the detail.
    pub(super) fn read(status: u16, is_json: bool, body: &str) -> Self {
        let problem = is_json
            .then(|| serde_json::from_str::<Self>(body).ok())
            .flatten();
        let mut problem = problem.unwrap_or_else(|| Self {
            status,
            code: String::new(),
            title: String::new(),
            detail: body.chars().take(500).collect(),
            errors: Vec::new(),
            retry_after: None,
        });
        problem.status = status;
        problem.make_visible();
        problem
    }

    /// Another server than Tidegate may have sent it, or a text of a device.
    fn make_visible(&mut self) {
        let errors = self.errors.iter_mut();
        let errors = errors.flat_map(|error| [&mut error.field, &mut error.message]);
        for text in [&mut self.code, &mut self.title, &mut self.detail]
            .into_iter()
            .chain(errors)
        {
            *text = visible(text).into_owned();
        }
    }

    /// With the value of the response's `Retry-After`, in seconds.
    pub(super) fn with_retry_after(self, seconds: &str) -> Self {
        let seconds = seconds.trim().parse().ok();
        Self {
            retry_after: seconds.map(Duration::from_secs),
            ..self
        }
    }

    /// Whether the tenant or the key has as many event streams as it can have.
    pub(crate) fn is_too_many_streams(&self) -> bool {
        self.status == 429 && self.code == "too_many_streams"
    }

    /// How long to wait before the request is repeated, if the server refuses it only for now.
    pub(crate) fn retry_delay(&self) -> Option<Duration> {
        let delay = self.retry_after.unwrap_or(MIN_RETRY_DELAY);
        (self.status == 429).then(|| delay.clamp(MIN_RETRY_DELAY, MAX_RETRY_DELAY))
    }

    /// Names the fields by the flags that set them. A field without a flag keeps its name.
    pub(crate) fn with_flags(mut self, flag: impl Fn(&str) -> Option<String>) -> Self {
        for FieldError { field, message } in &mut self.errors {
            let Some(flag) = flag(field) else {
                continue;
            };
            if self.detail == format!("{field}: {message}") {
                self.detail = format!("{flag}: {message}");
            }
            *field = flag;
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = [&self.detail, &self.title]
            .into_iter()
            .find(|text| !text.is_empty());
        let summary = summary.map_or("the server refused the request", String::as_str);
        f.write_str(summary)?;
        write!(f, " ({}", self.status)?;
        if !self.code.is_empty() {
            write!(f, " {}", self.code)?;
        }
        f.write_str(")")?;
        // A single error is repeated in the detail.
        let remaining = self
            .errors
            .iter()
            .filter(|error| !summary.contains(&error.message));
        for error in remaining {
            write!(f, "\n  {}: {}", error.field, error.message)?;
        }
        if self.status == 401 {
            f.write_str("\n  set a valid key with --key or TIDEGATE_KEY")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_rule_is_shown() {
        let body = r#"{"type": "about:blank", "title": "Unprocessable", "status": 422, "code": "invalid_campaign",
            "detail": "2 invalid fields", "errors": [
            {"field": "/name", "message": "must have 1 to 200 characters"},
            {"field": "/policies/0/config/threshold", "message": "must be at most 100"}]}"#;
        assert_eq!(
            Problem::read(422, true, body).to_string(),
            "2 invalid fields (422 invalid_campaign)\n  \
             /name: must have 1 to 200 characters\n  \
             /policies/0/config/threshold: must be at most 100"
        );
    }

    #[test]
    fn the_only_broken_rule_is_shown_once() {
        let body = r#"{"status": 422, "code": "invalid_campaign", "detail": "/name: must not be empty", "errors": [
            {"field": "/name", "message": "must not be empty"}]}"#;
        assert_eq!(
            Problem::read(422, true, body).to_string(),
            "/name: must not be empty (422 invalid_campaign)"
        );
    }

    #[test]
    fn characters_that_act_on_a_terminal_are_escaped() {
        let body = r#"{"detail": "a\u001b[2J", "code": "b\u009b", "errors": [
            {"field": "/c\r", "message": "d\n  /name: \u202e"}]}"#;
        assert_eq!(
            Problem::read(422, true, body).to_string(),
            "a\\u{1b}[2J (422 b\\u{9b})\n  /c\\r: d\\n  /name: \\u{202e}"
        );
        let text = Problem::read(502, false, "Bad\u{7}\nGateway").to_string();
        assert_eq!(text, "Bad\\u{7}\\nGateway (502)");
    }

    #[test]
    fn fields_are_named_by_their_flags() {
        let flag = |field: &str| (field == "/name").then(|| "--name".to_owned());
        let body = r#"{"detail": "2 invalid fields", "code": "invalid", "errors": [
            {"field": "/name", "message": "is short"}, {"field": "/other", "message": "is long"}]}"#;
        assert_eq!(
            Problem::read(422, true, body).with_flags(flag).to_string(),
            "2 invalid fields (422 invalid)\n  --name: is short\n  /other: is long"
        );
        let body = r#"{"detail": "/name: is short", "code": "invalid", "errors": [
            {"field": "/name", "message": "is short"}]}"#;
        assert_eq!(
            Problem::read(422, true, body).with_flags(flag).to_string(),
            "--name: is short (422 invalid)"
        );
    }

    #[test]
    fn only_a_refusal_for_now_is_repeated_after_a_bounded_delay() {
        let delay = |status, retry_after: &str| {
            let problem = Problem::read(status, false, "").with_retry_after(retry_after);
            problem.retry_delay().map(|delay| delay.as_secs())
        };
        for (retry_after, seconds) in [
            ("7", 7),
            ("0", 1),
            ("86400", 60),
            ("Fri, 01 May 2026 12:00:00 GMT", 1),
        ] {
            assert_eq!(delay(429, retry_after), Some(seconds), "{retry_after}");
        }
        assert_eq!(
            Problem::read(429, false, "").retry_delay(),
            Some(MIN_RETRY_DELAY)
        );
        assert_eq!((delay(503, "7"), delay(403, "7")), (None, None));
    }

    #[test]
    fn a_response_without_a_problem_is_shown_as_text() {
        assert_eq!(
            Problem::read(502, false, "Bad Gateway").to_string(),
            "Bad Gateway (502)"
        );
        assert_eq!(
            Problem::read(404, false, "").to_string(),
            "the server refused the request (404)"
        );
    }
}
