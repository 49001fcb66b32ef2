use axum::extract::State;
use tidegate_engine::{Authorized, Operator, updates};

use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        extract::{PathParams, parse_id},
        json::OptionalJson,
        response::CreatedResponse,
        shared::{UpdateBody, created_update, update_options::RetryOptionsBody},
    },
};

/// Offers the firmware of an update that failed, timed out, was cancelled or was rejected to its device again, with a
/// new update without a campaign. 409 if the update is open or completed.
#[utoipa::path(
    post, path = "/updates/{update_id}/retry", tag = "updates",
    params(("update_id" = i32, Path)), request_body = Option<RetryOptionsBody>,
    responses((status = 201, description = "The update that retries this one.", body = UpdateBody)),
)]
pub(crate) async fn retry_update(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    OptionalJson(request): OptionalJson<RetryOptionsBody>,
) -> Result<CreatedResponse<UpdateBody>> {
    let update = parse_id("update", &update)?;
    let mut errors = Vec::new();
    let options = request.to_retry_options(&mut errors);
    if !errors.is_empty() {
        return Err(Problem::invalid("invalid_update", errors));
    }
    let row = updates::retry(
        &ctx,
        state.engine.update_writer(),
        state.engine.plugins(),
        update,
        options,
    )
    .await?;
    Ok(created_update(row))
}
