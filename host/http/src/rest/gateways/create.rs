use axum::extract::State;
use serde::{Deserialize, Serialize};
use tidegate_core::plugin::FieldError;
use tidegate_engine::{
    Admin, Authorized,
    access::{self, GatewayRequest},
};
use utoipa::ToSchema;

use super::body::GatewayBody;
use crate::{
    AppState,
    field_names::to_request_fields,
    problem::Result,
    rest::{
        json::JsonBody,
        response::CreatedResponse,
        rules::{BodyRules, RuleContext},
    },
};

#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = NewGateway)]
pub(crate) struct NewGatewayRequest {
    /// 1 to 200 characters, unique in the tenant.
    name: String,
    /// The gateway authenticates only devices of this group. Devices that it registers join the group.
    group: Option<String>,
    /// Its token, 16 to 128 letters, digits and `-._~+/=`, for example the one that another server issued; a new one when
    /// left out.
    token: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CreatedGateway)]
pub(crate) struct CreatedGatewayBody {
    gateway: GatewayBody,
    /// For the gateway to send as `Authorization: GatewayToken <token>`. It is shown only in this response.
    token: String,
}

/// Creates a gateway and issues its token, which is shown only once.
#[utoipa::path(
    post, path = "/gateways", tag = "devices", request_body = NewGatewayRequest,
    responses((status = 201, description = "The created gateway with its token.", body = CreatedGatewayBody)),
)]
pub(crate) async fn create_gateway(
    ctx: Authorized<Admin>,
    State(state): State<AppState>,
    JsonBody(request): JsonBody<NewGatewayRequest>,
) -> Result<CreatedResponse<CreatedGatewayBody>> {
    let created = access::create_gateway(
        &ctx,
        state.engine.store(),
        state.engine.caches(),
        state.engine.entropy(),
        request.into(),
    )
    .await?;
    let location = format!("/gateways/{}", created.gateway.id);
    let body = CreatedGatewayBody {
        gateway: created.gateway.into(),
        token: created.token,
    };
    Ok(CreatedResponse { location, body })
}

impl From<NewGatewayRequest> for GatewayRequest {
    fn from(request: NewGatewayRequest) -> Self {
        let NewGatewayRequest { name, group, token } = request;
        Self { name, group, token }
    }
}

impl BodyRules for NewGatewayRequest {
    async fn broken_rules(self, _: &RuleContext<'_>) -> Result<Vec<FieldError>> {
        Ok(to_request_fields(GatewayRequest::from(self).validate()))
    }
}
