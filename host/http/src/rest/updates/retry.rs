use axum::extract::State;
use tidegate_engine::{Authorized, Error, Operator, updates};

use crate::{
    AppState,
    problem::Result,
    rest::{
        devices::{UpdateBody, created_update},
        extract::{PathParams, parse_id},
        json::OptionalJson,
        response::Created,
        update_options::RetryOptionsBody,
    },
};

/// Offers the firmware of an update that failed, timed out, was cancelled or was rejected to its device again, with a
/// new update without a campaign. 409 if the update is open or completed.
#[utoipa::path(
    post, path = "/updates/{update_id}/retry", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<RetryOptionsBody>,
    responses((status = 201, body = UpdateBody)),
)]
pub(crate) async fn retry_update(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(request): OptionalJson<RetryOptionsBody>,
) -> Result<Created<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let mut errors = Vec::new();
    let retries = request.to_policy(&mut errors);
    if let Some(error) = errors.into_iter().next() {
        return Err(Error::invalid("invalid_update", &error.path, error.message).into());
    }
    let row = updates::retry(&ctx, &state.engine, update, retries).await?;
    Ok(created_update(row))
}
