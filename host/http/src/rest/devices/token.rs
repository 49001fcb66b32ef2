use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_engine::access;
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        access::Operator,
        extract::PathParams,
        json::OptionalJson,
        response::Time,
        response::{Created, encode_segment},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
#[schema(as = TokenWish)]
pub(crate) struct TokenRequest {
    /// For how many seconds the token before works on, if the new one is not used earlier; 604800, which is a week, when
    /// left out. 0 ends it at once.
    old_token_expires_in: Option<u64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceToken {
    /// What the device sends: `Authorization: TargetToken <token>`. It is shown this once.
    token: String,
    /// Until when the token before works, if the new one is not used earlier; null: it does not.
    old_token_expires_at: Option<Time>,
}

/// Gives a device a new token, and tells it once. The token before works on until the device has used the new one.
#[utoipa::path(
    post, path = "/devices/{device_id}/token", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<TokenRequest>,
    responses((status = 201, body = DeviceToken)),
)]
pub(crate) async fn replace_token(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    OptionalJson(request): OptionalJson<TokenRequest>,
) -> Result<Created<DeviceToken>> {
    let seconds = request.old_token_expires_in;
    let old_life = seconds.map_or(access::DEFAULT_OLD_TOKEN_LIFETIME, Duration::from_secs);
    let new = access::replace_token(&state.engine, &actor, &device, old_life).await?;
    Ok(Created {
        location: format!("/devices/{}", encode_segment(&device)),
        body: DeviceToken {
            token: new.token,
            old_token_expires_at: new.old_token_expires_at.map(Time::from),
        },
    })
}

/// Takes a device's tokens away: it is let in no more, unless a gateway or a certificate speaks for it.
#[utoipa::path(
    delete, path = "/devices/{device_id}/token", tag = "devices",
    params(("device_id" = String, Path)),
    responses((status = 204, description = "Taken away.")),
)]
pub(crate) async fn revoke_token(
    Operator(actor): Operator,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
) -> Result<StatusCode> {
    access::revoke_token(&state.engine, &actor, &device).await?;
    Ok(StatusCode::NO_CONTENT)
}
