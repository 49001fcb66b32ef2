use axum::extract::State;
use serde::Deserialize;
use tidegate_engine::{Authorized, Error, Operator, updates};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        campaigns::RetryForm,
        devices::{UpdateBody, created_update},
        extract::{PathParams, parse_id},
        json::OptionalJson,
        response::Created,
    },
};

/// The retry policy of the new update, which is offered immediately.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = RetryWish)]
pub(crate) struct RetryRequest {
    /// How often it is retried automatically when it fails again, 0 to 10; as before when left out.
    max_retries: Option<u32>,
    /// With `max_retries`: seconds before the first automatic retry, 1 to 3600; 60 when left out. It doubles with each
    /// retry, up to an hour.
    retry_delay: Option<u64>,
}

/// Offers the firmware of an update that failed, timed out, was cancelled or was rejected to its device again, with a
/// new update without a campaign. 409 if the update is open or completed.
#[utoipa::path(
    post, path = "/updates/{update_id}/retry", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<RetryRequest>,
    responses((status = 201, body = UpdateBody)),
)]
pub(crate) async fn retry_update(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(request): OptionalJson<RetryRequest>,
) -> Result<Created<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let form = RetryForm {
        max_retries: request.max_retries,
        retry_delay: request.retry_delay,
    };
    let mut errors = Vec::new();
    let retries = form.to_policy(&mut errors);
    if let Some(error) = errors.into_iter().next() {
        return Err(Error::invalid("invalid_update", &error.path, error.message).into());
    }
    let row = updates::retry(&ctx, &state.engine, update, retries).await?;
    Ok(created_update(row))
}
