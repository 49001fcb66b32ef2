use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use tidegate_core::plugin::FieldError;
use tidegate_engine::{Authorized, Operator, access};
use utoipa::ToSchema;

use crate::{
    AppState,
    field_names::to_request_fields,
    problem::Result,
    rest::{
        extract::PathParams,
        json::OptionalJson,
        response::Time,
        response::{CreatedResponse, encode_segment},
        rules::{BodyRules, RuleContext},
    },
};

#[derive(Debug, Default, Deserialize, ToSchema)]
pub(crate) struct TokenRequest {
    /// How many seconds the previous token stays valid unless the new one is used earlier; 604800, a week, when left
    /// out. 0 revokes it immediately.
    old_token_expires_in: Option<u64>,
    /// The new token, 16 to 128 letters, digits and `-._~+/=`; generated when left out. Requires the role `admin`.
    token: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceToken {
    /// For the device to send as `Authorization: TargetToken <token>`. It is shown only in this response.
    token: String,
    /// Until when the previous token is valid unless the new one is used earlier; null: it is not valid.
    old_token_expires_at: Option<Time>,
}

/// Issues a new token for a device and shows it only once. The previous token stays valid until the device uses the new
/// one.
#[utoipa::path(
    post, path = "/devices/{device_id}/token", tag = "devices",
    params(("device_id" = String, Path)), request_body = Option<TokenRequest>,
    responses((status = 201, description = "The new token.", body = DeviceToken)),
)]
pub(crate) async fn replace_token(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    OptionalJson(request): OptionalJson<TokenRequest>,
) -> Result<CreatedResponse<DeviceToken>> {
    let seconds = request.old_token_expires_in;
    let old_life = seconds.map_or(access::DEFAULT_OLD_TOKEN_LIFETIME, Duration::from_secs);
    let new = access::replace_token(
        &ctx,
        state.engine.store(),
        state.engine.caches(),
        state.engine.entropy(),
        &device,
        request.token,
        old_life,
    )
    .await?;
    Ok(CreatedResponse {
        location: format!("/devices/{}", encode_segment(&device)),
        body: DeviceToken {
            token: new.token,
            old_token_expires_at: new.old_token_expires_at.map(Time::from),
        },
    })
}

/// Revokes a device's tokens. The device can then authenticate only through a gateway or with a certificate.
#[utoipa::path(
    delete, path = "/devices/{device_id}/token", tag = "devices",
    params(("device_id" = String, Path)),
    responses((status = 204, description = "Revoked.")),
)]
pub(crate) async fn revoke_token(
    ctx: Authorized<Operator>,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
) -> Result<StatusCode> {
    access::revoke_token(&ctx, state.engine.store(), state.engine.caches(), &device).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl BodyRules for TokenRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(to_request_fields(access::validate_token(
            self.token.as_deref(),
        )))
    }
}
