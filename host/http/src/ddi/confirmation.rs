//! Confirmation of updates at the device, before they start.

use axum::{
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_core::{
    device::AutoConfirm,
    feedback::{Execution, Feedback, Finished},
    update::UpdateStatus,
};
use tidegate_engine::devices;

use super::{
    body::{DdiBody, OptionalBody},
    deployment::DeploymentBase,
    device_auth::DeviceAuth,
    error::DdiError,
    feedback::{parse_code, unknown_value},
    lenient::{Scalar, texts},
    links::{Link, Resource},
    params::DeploymentQuery,
    path::UpdateParam,
    representation::Representation,
};
use crate::AppState;

/// Maximum length of the initiator of auto-confirm, in characters.
const MAX_INITIATOR_CHARS: usize = 64;
/// Maximum length of the remark on auto-confirm, in characters.
const MAX_REMARK_CHARS: usize = 512;

/// The state of auto-confirm, and a link to the update that waits for confirmation. The request counts as a poll.
pub(super) async fn base(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
) -> Result<Response, DdiError> {
    let base = devices::confirmation_base(&device.caller, &state.engine, &device.tenant).await?;
    let now = state.engine.now();
    let waiting = base.view.open;
    let waiting = waiting.filter(|open| open.status == UpdateStatus::WaitingConfirmation);
    let is_active = base.auto_confirm.is_some();
    let link = |resource| Some(device.links.to(resource));
    representation.respond(&ConfirmationBaseMessage {
        auto_confirm: AutoConfirmMessage::new(base.auto_confirm.as_ref()),
        links: ConfirmationLinks {
            activate_auto_confirm: link(Resource::ActivateAutoConfirm).filter(|_| !is_active),
            deactivate_auto_confirm: link(Resource::DeactivateAutoConfirm).filter(|_| is_active),
            confirmation_base: waiting.and_then(|open| {
                link(Resource::ConfirmationBase(
                    open.id,
                    open.content_revision(now),
                ))
            }),
        },
    })
}

/// The update that waits for confirmation, in the form of a deployment.
pub(super) async fn get(
    device: DeviceAuth,
    representation: Representation,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
    query: DeploymentQuery,
) -> Result<Response, DdiError> {
    let engine = &state.engine;
    let deployment = devices::confirmation(&device.caller, engine, update, query.history).await?;
    let body = DeploymentBase::for_confirmation(&deployment, &device, query.history, engine.now());
    representation.respond(&body)
}

/// Confirms or denies an update.
pub(super) async fn feedback(
    device: DeviceAuth,
    State(state): State<AppState>,
    UpdateParam(update): UpdateParam,
    DdiBody(body): DdiBody<ConfirmationBody>,
) -> Result<Response, DdiError> {
    let feedback = body.try_into()?;
    devices::record_confirmation_feedback(&device.caller, &state.engine, update, feedback).await?;
    Ok(StatusCode::OK.into_response())
}

/// Activates auto-confirm: updates are confirmed without asking.
pub(super) async fn activate(
    device: DeviceAuth,
    State(state): State<AppState>,
    OptionalBody(body): OptionalBody<ActivateBody>,
) -> Result<Response, DdiError> {
    let initiator = body.initiator.map(Scalar::into_text);
    let remark = body.remark.map(Scalar::into_text);
    check_length("initiator", initiator.as_deref(), MAX_INITIATOR_CHARS)?;
    check_length("remark", remark.as_deref(), MAX_REMARK_CHARS)?;
    devices::activate_auto_confirm(&device.caller, &state.engine, initiator, remark).await?;
    Ok(StatusCode::OK.into_response())
}

/// Deactivates auto-confirm.
pub(super) async fn deactivate(
    device: DeviceAuth,
    State(state): State<AppState>,
) -> Result<Response, DdiError> {
    devices::deactivate_auto_confirm(&device.caller, &state.engine).await?;
    Ok(StatusCode::OK.into_response())
}

fn check_length(field: &str, text: Option<&str>, max_chars: usize) -> Result<(), DdiError> {
    match text {
        Some(text) if text.chars().count() > max_chars => Err(DdiError::ConstraintViolation(
            format!("{field} is longer than {max_chars} characters"),
        )),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmationBaseMessage<'a> {
    auto_confirm: AutoConfirmMessage<'a>,
    #[serde(rename = "_links")]
    links: ConfirmationLinks<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AutoConfirmMessage<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    initiator: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<&'a str>,
    /// Milliseconds since 1970; 0 if not active.
    activated_at: i64,
}

impl<'a> AutoConfirmMessage<'a> {
    fn new(auto_confirm: Option<&'a AutoConfirm>) -> Self {
        Self {
            active: auto_confirm.is_some(),
            initiator: auto_confirm.and_then(|it| it.initiator.as_deref()),
            remark: auto_confirm.and_then(|it| it.remark.as_deref()),
            activated_at: auto_confirm.map_or(0, |it| it.activated_at.0),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfirmationLinks<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    activate_auto_confirm: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deactivate_auto_confirm: Option<Link<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmation_base: Option<Link<'a>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct ActivateBody {
    initiator: Option<Scalar>,
    remark: Option<Scalar>,
}

#[derive(Debug, Deserialize)]
pub(super) struct ConfirmationBody {
    confirmation: String,
    code: Option<Scalar>,
    #[serde(default, deserialize_with = "texts")]
    details: Vec<String>,
}

impl TryFrom<ConfirmationBody> for Feedback {
    type Error = DdiError;

    fn try_from(body: ConfirmationBody) -> Result<Self, DdiError> {
        let execution: Option<Execution> = body.confirmation.parse().ok();
        let execution = execution.filter(|execution| execution.is_confirmation());
        Ok(Self {
            code: parse_code(body.code.as_ref())?,
            messages: body.details,
            ..Self::new(
                execution.ok_or_else(|| unknown_value("confirmation", &body.confirmation))?,
                Finished::None,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use tidegate_core::Named as _;

    use super::*;
    use crate::ddi::body::Encoding;

    fn read(body: &Value) -> Result<Feedback, DdiError> {
        let body = Encoding::Json.decode::<ConfirmationBody>(body.to_string().as_bytes());
        body.and_then(Feedback::try_from)
    }

    #[test]
    fn confirmations_are_parsed() {
        for (body, execution, code, messages) in [
            (
                json!({"confirmation": "confirmed"}),
                "confirmed",
                None,
                &[][..],
            ),
            (
                json!({"confirmation": "denied", "code": 10, "details": "not now", "id": "8"}),
                "denied",
                Some(10),
                &["not now"],
            ),
            (
                json!({"confirmation": "denied", "code": null, "details": null}),
                "denied",
                None,
                &[],
            ),
        ] {
            let feedback = read(&body).expect("it is parsed");
            assert_eq!(feedback.execution.as_str(), execution, "{body}");
            assert_eq!(feedback.code, code, "{body}");
            assert_eq!(feedback.messages, messages, "{body}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for body in [
            json!({"confirmation": "closed"}),
            json!({"confirmation": "Confirmed"}),
            json!({"confirmation": null}),
            json!({"confirmation": "denied", "code": "many"}),
            json!({}),
        ] {
            let error = read(&body).expect_err("it is refused");
            assert!(matches!(error, DdiError::Malformed(_)), "{body}");
        }
    }
}
