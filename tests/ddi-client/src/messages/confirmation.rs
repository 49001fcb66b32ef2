use serde::{Deserialize, Serialize, Serializer};
use tidegate_core::{Named as _, feedback::Execution};

use super::{Link, href};

/// The answer of a device to a request for confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirmation {
    /// Whether the update may be installed.
    #[serde(rename = "confirmation", serialize_with = "word")]
    pub is_confirmed: bool,
    /// A code of the device's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    /// Messages, such as the reason.
    pub details: Vec<String>,
}

impl Confirmation {
    /// An answer without code and messages.
    pub fn new(is_confirmed: bool) -> Self {
        Self {
            is_confirmed,
            code: None,
            details: Vec::new(),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn word<S: Serializer>(is_confirmed: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    let word = if *is_confirmed {
        Execution::Confirmed
    } else {
        Execution::Denied
    };
    serializer.serialize_str(word.as_str())
}

/// The state of automatic confirmation, and the update that waits for confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmationBase {
    /// The state of automatic confirmation.
    pub auto_confirm: AutoConfirm,
    #[serde(rename = "_links", default)]
    links: ConfirmationLinks,
}

/// The state of automatic confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoConfirm {
    /// Whether updates are confirmed without asking.
    pub active: bool,
    /// Who or what activated it.
    pub initiator: Option<String>,
    /// The reason for it.
    pub remark: Option<String>,
    /// Milliseconds since 1970.
    pub activated_at: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmationLinks {
    confirmation_base: Option<Link>,
}

impl ConfirmationBase {
    /// The link to the update that waits for confirmation.
    pub fn confirmation_base(&self) -> Option<&str> {
        href(self.links.confirmation_base.as_ref())
    }
}

/// The body of an activation of automatic confirmation.
#[derive(Debug, Serialize)]
pub(crate) struct NewAutoConfirm<'a> {
    pub(crate) initiator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remark: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_written_as_hawkbit_reads_them() {
        let mut answer = Confirmation::new(true);
        let written = |answer: &Confirmation| serde_json::to_string(answer).expect("it is written");
        assert_eq!(
            written(&answer),
            r#"{"confirmation":"confirmed","details":[]}"#
        );
        answer.is_confirmed = false;
        answer.code = Some(7);
        answer.details = vec!["not now".to_owned()];
        assert_eq!(
            written(&answer),
            r#"{"confirmation":"denied","code":7,"details":["not now"]}"#
        );
    }

    #[test]
    fn the_state_of_auto_confirm_is_read() {
        let body = json!({
            "autoConfirm": { "active": true, "initiator": "ada", "activatedAt": 17 },
            "_links": { "confirmationBase": { "href": "http://h/8" }, "deactivateAutoConfirm": { "href": "" } },
        });
        let base: ConfirmationBase = serde_json::from_value(body).expect("a valid response");
        assert_eq!(base.confirmation_base(), Some("http://h/8"));
        let expected = AutoConfirm {
            active: true,
            initiator: Some("ada".to_owned()),
            remark: None,
            activated_at: Some(17),
        };
        assert_eq!(base.auto_confirm, expected);
    }
}
