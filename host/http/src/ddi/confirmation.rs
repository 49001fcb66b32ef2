//! Somebody at the device is asked whether an update may begin.

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
    body::{Body, OptionalBody},
    deployment::Answer,
    door::Door,
    feedback::{code_of, unknown},
    lenient::{Scalar, texts},
    links::{Link, Resource},
    params::{Params, Update},
    refusal::Refusal,
    representation::Representation,
};
use crate::AppState;

/// Longest name of who agrees to everything, in characters.
const MAX_INITIATOR: usize = 64;
/// Longest remark on it.
const MAX_REMARK: usize = 512;

/// Whether everything is agreed to beforehand, and which update waits. It counts as a poll.
pub(super) async fn base(
    door: Door,
    representation: Representation,
    State(state): State<AppState>,
) -> Result<Response, Refusal> {
    let base = devices::confirmation_base(&state.engine, &door.tenant, &door.caller).await?;
    let now = state.engine.now();
    let waiting = base.view.open;
    let waiting = waiting.filter(|open| open.status == UpdateStatus::WaitingConfirmation);
    let is_active = base.auto_confirm.is_some();
    let to = |resource| Some(door.links.to(resource));
    representation.of(&Base {
        auto_confirm: AutoConfirmBody::new(base.auto_confirm.as_ref()),
        links: BaseLinks {
            activate_auto_confirm: to(Resource::ActivateAutoConfirm).filter(|_| !is_active),
            deactivate_auto_confirm: to(Resource::DeactivateAutoConfirm).filter(|_| is_active),
            confirmation_base: waiting.and_then(|open| {
                to(Resource::ConfirmationBase(
                    open.id,
                    open.content_revision(now),
                ))
            }),
        },
    })
}

/// The update that waits, as the device would be told to install it.
pub(super) async fn get(
    door: Door,
    representation: Representation,
    State(state): State<AppState>,
    Update(update): Update,
    params: Params,
) -> Result<Response, Refusal> {
    let engine = &state.engine;
    let described = devices::confirmation(engine, &door.caller, update, params.history).await?;
    let answer = Answer::to_confirm(&described, &door, params.history, engine.now());
    representation.of(&answer)
}

/// Yes or no.
pub(super) async fn feedback(
    door: Door,
    State(state): State<AppState>,
    Update(update): Update,
    Body(body): Body<ConfirmationBody>,
) -> Result<Response, Refusal> {
    let answer = body.try_into()?;
    devices::confirmation_feedback(&state.engine, &door.caller, update, answer).await?;
    Ok(StatusCode::OK.into_response())
}

/// Yes to everything, from now on.
pub(super) async fn activate(
    door: Door,
    State(state): State<AppState>,
    OptionalBody(body): OptionalBody<ActivateBody>,
) -> Result<Response, Refusal> {
    let initiator = body.initiator.map(Scalar::into_text);
    let remark = body.remark.map(Scalar::into_text);
    at_most("initiator", initiator.as_deref(), MAX_INITIATOR)?;
    at_most("remark", remark.as_deref(), MAX_REMARK)?;
    devices::activate_auto_confirm(&state.engine, &door.caller, initiator, remark).await?;
    Ok(StatusCode::OK.into_response())
}

/// No longer.
pub(super) async fn deactivate(
    door: Door,
    State(state): State<AppState>,
) -> Result<Response, Refusal> {
    devices::deactivate_auto_confirm(&state.engine, &door.caller).await?;
    Ok(StatusCode::OK.into_response())
}

fn at_most(field: &str, text: Option<&str>, most: usize) -> Result<(), Refusal> {
    match text {
        Some(text) if text.chars().count() > most => Err(Refusal::Broken(format!(
            "{field} has more than {most} characters"
        ))),
        _ => Ok(()),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Base<'a> {
    auto_confirm: AutoConfirmBody<'a>,
    #[serde(rename = "_links")]
    links: BaseLinks<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AutoConfirmBody<'a> {
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    initiator: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<&'a str>,
    /// Milliseconds since 1970; 0 where it is not active.
    activated_at: i64,
}

impl<'a> AutoConfirmBody<'a> {
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
struct BaseLinks<'a> {
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
    type Error = Refusal;

    fn try_from(body: ConfirmationBody) -> Result<Self, Refusal> {
        let answer = Execution::parse(&body.confirmation).filter(|word| word.is_answer());
        Ok(Self {
            code: code_of(body.code.as_ref())?,
            messages: body.details,
            ..Self::new(
                answer.ok_or_else(|| unknown("confirmation", &body.confirmation))?,
                Finished::None,
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::ddi::body::Encoding;

    fn read(body: &Value) -> Result<Feedback, Refusal> {
        let body = Encoding::Json.read::<ConfirmationBody>(body.to_string().as_bytes());
        body.and_then(Feedback::try_from)
    }

    #[test]
    fn answers_are_understood() {
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
            let answer = read(&body).expect("it is understood");
            assert_eq!(answer.execution.as_str(), execution, "{body}");
            assert_eq!(answer.code, code, "{body}");
            assert_eq!(answer.messages, messages, "{body}");
        }
    }

    #[test]
    fn other_words_are_no_answers() {
        for body in [
            json!({"confirmation": "closed"}),
            json!({"confirmation": "Confirmed"}),
            json!({"confirmation": null}),
            json!({"confirmation": "denied", "code": "many"}),
            json!({}),
        ] {
            let refused = read(&body).expect_err("no answer");
            assert!(matches!(refused, Refusal::Malformed(_)), "{body}");
        }
    }
}
